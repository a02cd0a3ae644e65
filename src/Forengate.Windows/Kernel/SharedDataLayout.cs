namespace Forengate.Windows;

/// <summary>Where one build keeps the fields of <c>_KUSER_SHARED_DATA</c>. Offsets in bytes; null where the build lacks the field.</summary>
internal sealed record SharedDataLayout
{
    public required int InterruptTime { get; init; }
    public required int SystemTime { get; init; }
    public required int TimeZoneBias { get; init; }
    public required int NtSystemRoot { get; init; }
    public required int NtMajorVersion { get; init; }
    public required int NtMinorVersion { get; init; }
    public required int? NtBuildNumber { get; init; }
    public required int NtProductType { get; init; }
    public required int SuiteMask { get; init; }
    public required int? BootId { get; init; }
    public required int NumberOfPhysicalPages { get; init; }
    public required int KdDebuggerEnabled { get; init; }
    public required int? XStateEnabledFeatures { get; init; }
    public required int? XStateSize { get; init; }
}
