namespace Forengate.Windows;

/// <summary>Where one build keeps the fields of a driver's list entry. Offsets in bytes.</summary>
internal sealed record DriverLayout
{
    public required int InLoadOrderLinks { get; init; }
    public required int DllBase { get; init; }
    public required int EntryPoint { get; init; }
    public required int SizeOfImage { get; init; }
    public required int FullDllName { get; init; }
    public required int BaseDllName { get; init; }
    public required int? TimeDateStamp { get; init; }

    /// <summary>Bytes from the entry's start that hold every field above.</summary>
    public required int Length { get; init; }
}
