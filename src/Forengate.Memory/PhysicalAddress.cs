namespace Forengate.Memory;

/// <summary>A guest-physical address, in bytes.</summary>
public readonly record struct PhysicalAddress(ulong Value) : IComparable<PhysicalAddress>
{
    /// <summary>Widest guest-physical address of x64, in bits (Intel SDM vol. 3A, 4.1.4: MAXPHYADDR is at most 52).</summary>
    public const int Bits = 52;

    /// <summary>The page frame number this address lies in.</summary>
    public ulong Frame => Value >> Page.Shift;

    /// <summary>First byte of the page this address lies in.</summary>
    public PhysicalAddress PageStart => new(Value & ~Page.OffsetMask);

    /// <summary>Distance from <see cref="PageStart"/>, 0 to 4095.</summary>
    public int PageOffset => (int)(Value & Page.OffsetMask);

    public static PhysicalAddress FromFrame(ulong frame) => new(frame << Page.Shift);

    public static PhysicalAddress operator +(PhysicalAddress address, ulong bytes) => new(unchecked(address.Value + bytes));

    public static ulong operator -(PhysicalAddress left, PhysicalAddress right) => unchecked(left.Value - right.Value);

    public static bool operator <(PhysicalAddress left, PhysicalAddress right) => left.Value < right.Value;

    public static bool operator >(PhysicalAddress left, PhysicalAddress right) => left.Value > right.Value;

    public static bool operator <=(PhysicalAddress left, PhysicalAddress right) => left.Value <= right.Value;

    public static bool operator >=(PhysicalAddress left, PhysicalAddress right) => left.Value >= right.Value;

    public int CompareTo(PhysicalAddress other) => Value.CompareTo(other.Value);

    public override string ToString() => $"0x{Value:x}";
}
