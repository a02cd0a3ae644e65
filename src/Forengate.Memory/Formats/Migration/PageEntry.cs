namespace Forengate.Memory;

/// <summary>How a migration stream stores a page.</summary>
internal enum PageEntryKind : byte
{
    /// <summary>It does not.</summary>
    None = 0,

    Zero,

    /// <summary>4,096 bytes at an offset.</summary>
    Stored,

    /// <summary>zlib data at an offset, its be32 length before it.</summary>
    Deflated,

    /// <summary>A change of an earlier version: the number of a <see cref="PageDelta"/>.</summary>
    Delta,

    /// <summary>All bytes alike, not zero.</summary>
    Filled,

    /// <summary>The file leaves it out on purpose (shared memory that stays where it is).</summary>
    LeftOut,
}

/// <summary>What a migration stream has for one page: a kind in three bits, a number in 61.</summary>
internal readonly record struct PageEntry(ulong Raw)
{
    private const int KindShift = 61;
    private const ulong ValueMask = (1UL << KindShift) - 1;

    public static PageEntry Zero { get; } = new(PageEntryKind.Zero, 0);

    public static PageEntry LeftOut { get; } = new(PageEntryKind.LeftOut, 0);

    public PageEntry(PageEntryKind kind, long value)
        : this(((ulong)kind << KindShift) | ((ulong)value & ValueMask))
    {
    }

    public PageEntryKind Kind => (PageEntryKind)(Raw >> KindShift);

    /// <summary>An offset, a delta's number, or a byte.</summary>
    public long Value => (long)(Raw & ValueMask);

    public PageState State => Kind switch
    {
        PageEntryKind.None => PageState.Missing,
        PageEntryKind.Zero => PageState.Zero,
        PageEntryKind.LeftOut => PageState.Excluded,
        _ => PageState.Present,
    };

    public static PageEntry Stored(long offset) => new(PageEntryKind.Stored, offset);
}

/// <summary>One XBZRLE change of a page.</summary>
/// <param name="Offset">Where its bytes lie.</param>
/// <param name="Length">How many, at most a page.</param>
/// <param name="Depth">How many changes lie below this one.</param>
/// <param name="Before">The version it changes.</param>
internal readonly record struct PageDelta(long Offset, ushort Length, int Depth, PageEntry Before);
