namespace Forengate.Memory;

/// <summary>A half-open range of guest-physical memory. Both ends of the ranges of a view lie on page boundaries.</summary>
public readonly record struct PhysicalRange(PhysicalAddress Start, ulong Length)
{
    /// <summary>The first byte behind the range.</summary>
    public PhysicalAddress End => Start + Length;

    public ulong PageCount => Length >> Page.Shift;

    public bool Contains(PhysicalAddress address) => address.Value - Start.Value < Length;

    public override string ToString() => $"0x{Start.Value:x}-0x{End.Value:x}";
}
