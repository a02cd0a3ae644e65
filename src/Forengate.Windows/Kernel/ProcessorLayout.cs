namespace Forengate.Windows;

/// <summary>Where one build keeps the fields of <c>_KPCR</c> and <c>_KPRCB</c>. Offsets in bytes; null where the build lacks the field, or a deduced profile does not know it.</summary>
internal sealed record ProcessorLayout
{
    public required int PcrSelf { get; init; }
    public required int PcrPrcb { get; init; }
    public required int Number { get; init; }
    public required int CurrentThread { get; init; }
    public required int? ProcessorState { get; init; }
    public required int? StateSpecialRegisters { get; init; }
    public required int? StateContextFrame { get; init; }
    public required int? Context { get; init; }
}
