namespace Forengate.Memory;

/// <summary>A place where a pattern was found.</summary>
/// <param name="Address">Guest-physical address of its first byte.</param>
/// <param name="Pattern">Which one: its index in the <see cref="PatternSet"/>.</param>
public readonly record struct PatternHit(PhysicalAddress Address, int Pattern) : IComparable<PatternHit>
{
    public int CompareTo(PatternHit other)
    {
        var byAddress = Address.CompareTo(other.Address);
        return byAddress != 0 ? byAddress : Pattern.CompareTo(other.Pattern);
    }

    public static bool operator <(PatternHit left, PatternHit right) => left.CompareTo(right) < 0;

    public static bool operator >(PatternHit left, PatternHit right) => left.CompareTo(right) > 0;

    public static bool operator <=(PatternHit left, PatternHit right) => left.CompareTo(right) <= 0;

    public static bool operator >=(PatternHit left, PatternHit right) => left.CompareTo(right) >= 0;
}
