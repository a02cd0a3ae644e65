namespace Forengate.Memory;

/// <summary>A guest-virtual address, in bytes. On x64 the value is sign-extended (canonical) as Windows writes it.</summary>
public readonly record struct VirtualAddress(ulong Value) : IComparable<VirtualAddress>
{
    /// <summary>True for the upper half of the address space, where the Windows kernel lives.</summary>
    public bool IsKernel => Value >> 63 != 0;

    public bool IsNull => Value == 0;

    public VirtualAddress PageStart => new(Value & ~Page.OffsetMask);

    public int PageOffset => (int)(Value & Page.OffsetMask);

    /// <summary>True when the bits above the translated ones repeat the highest translated one.</summary>
    /// <param name="levels">4 (48 bits), 5 (57 bits); 2 and 3 (32 bits, which Windows writes zero-extended or sign-extended).</param>
    public bool IsCanonical(int levels)
    {
        if (levels < 4)
            return Value == (uint)Value || Value == (ulong)(int)Value;
        var shift = levels == 5 ? 7 : 16;
        return (ulong)((long)(Value << shift) >> shift) == Value;
    }

    public static VirtualAddress operator +(VirtualAddress address, ulong bytes) => new(unchecked(address.Value + bytes));

    public static VirtualAddress operator -(VirtualAddress address, ulong bytes) => new(unchecked(address.Value - bytes));

    public static ulong operator -(VirtualAddress left, VirtualAddress right) => unchecked(left.Value - right.Value);

    public static bool operator <(VirtualAddress left, VirtualAddress right) => left.Value < right.Value;

    public static bool operator >(VirtualAddress left, VirtualAddress right) => left.Value > right.Value;

    public static bool operator <=(VirtualAddress left, VirtualAddress right) => left.Value <= right.Value;

    public static bool operator >=(VirtualAddress left, VirtualAddress right) => left.Value >= right.Value;

    public int CompareTo(VirtualAddress other) => Value.CompareTo(other.Value);

    public override string ToString() => $"0x{Value:x}";
}
