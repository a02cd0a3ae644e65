namespace Forengate.Memory;

/// <summary>
/// Which part of a migration stream holds each page of a RAM block: the last version wins. Pages mostly come in order, at equal distances (4,104 bytes), so each 2 MiB of the
/// block is kept as a few runs, or, where it is scattered, as one entry a page.
/// </summary>
/// <remarks>Filled by one thread; after <see cref="Seal"/> safe for concurrent reads.</remarks>
internal sealed class PageIndex
{
    /// <summary>Pages of a chunk: 2 MiB of the block.</summary>
    public const int ChunkPages = 1 << ChunkShift;
    private const int ChunkShift = 9;

    /// <summary>Chunks of a leaf: 8 GiB of the block, so that a block that only claims to be large costs nothing.</summary>
    private const int LeafChunks = 1 << LeafShift;
    private const int LeafShift = 12;

    /// <summary>A run is two words: first page, count and distance; the first page's entry. More of them than this, and one word a page is smaller.</summary>
    private const int MostRuns = (ChunkPages / 2) - 1;

    private const int ArrayOverhead = 24;

    private readonly IndexBudget _budget;
    private readonly ulong[]?[]?[] _leaves;
    private readonly ulong[] _open = new ulong[ChunkPages];
    private readonly ulong[] _packed = new ulong[MostRuns * 2];
    private long _openChunk = -1;

    /// <param name="pages">Of the block.</param>
    /// <param name="budget">Charged for what is kept.</param>
    public PageIndex(ulong pages, IndexBudget budget)
    {
        Pages = pages;
        _budget = budget;
        var chunks = (pages + ChunkPages - 1) >> ChunkShift;
        _leaves = new ulong[]?[]?[(chunks + LeafChunks - 1) >> LeafShift];
        budget.Take(ArrayOverhead + (_leaves.Length * sizeof(long)) + ((_open.Length + _packed.Length) * sizeof(ulong)));
    }

    public ulong Pages { get; }

    public ulong Chunks => (Pages + ChunkPages - 1) >> ChunkShift;

    /// <summary>Says what the stream has for a page, over whatever it had before.</summary>
    /// <param name="page">Below <see cref="Pages"/>.</param>
    /// <param name="entry">What it has.</param>
    public void Set(ulong page, PageEntry entry)
    {
        var chunk = (long)(page >> ChunkShift);
        if (chunk != _openChunk)
            Open(chunk);
        _open[page & (ChunkPages - 1)] = entry.Raw;
    }

    /// <summary>Says what the stream has for all pages of a chunk that nothing was said of before.</summary>
    /// <param name="chunk">Below <see cref="Chunks"/>.</param>
    /// <param name="first">The first page's entry.</param>
    /// <param name="stride">What each entry's number is above the one before; 0: they are the same.</param>
    public void SetChunk(ulong chunk, PageEntry first, long stride)
    {
        Seal();
        Keep(chunk, [Head(0, (int)Math.Min(ChunkPages, Pages - (chunk << ChunkShift)), stride), first.Raw]);
    }

    /// <summary>As <see cref="this"/>, while the index is still being filled.</summary>
    public PageEntry Latest(ulong page)
    {
        var chunk = (long)(page >> ChunkShift);
        return chunk == _openChunk ? new PageEntry(_open[page & (ChunkPages - 1)]) : this[page];
    }

    /// <summary>What the stream has for a page.</summary>
    public PageEntry this[ulong page] => page < Pages && ChunkAt(page >> ChunkShift) is { } chunk ? Look(chunk, (int)(page & (ChunkPages - 1)), out _) : default;

    /// <summary>What the stream has for a page, and for how many from there on that is of the same state; the count ends at a chunk's end at the latest.</summary>
    public PageEntry RunAt(ulong page, out int count)
    {
        count = 1;
        if (page >= Pages)
            return default;
        var first = (int)(page & (ChunkPages - 1));
        var last = (int)Math.Min(ChunkPages, Pages - (page - (ulong)first));
        if (ChunkAt(page >> ChunkShift) is not { } chunk)
        {
            count = last - first;
            return default;
        }
        var entry = Look(chunk, first, out count);
        var state = entry.State;
        while (first + count < last && Look(chunk, first + count, out var more) is var next && next.State == state)
            count += more;
        count = Math.Min(count, last - first);
        return entry;
    }

    /// <summary>Ends the filling.</summary>
    public void Seal() => Open(-1);

    /// <summary>A chunk as it is kept, for storing the index; null where it has no page.</summary>
    public ulong[]? ChunkAt(ulong chunk) => _leaves[chunk >> LeafShift] is { } leaf ? leaf[chunk & (LeafChunks - 1)] : null;

    /// <summary>Puts back a chunk that was stored.</summary>
    /// <returns>False when it is none: its length or a run in it is impossible.</returns>
    public bool TryRestore(ulong chunk, ulong[] kept)
    {
        if (chunk >= Chunks || ChunkAt(chunk) is not null || !IsChunk(kept))
            return false;
        Keep(chunk, kept);
        return true;
    }

    private static bool IsChunk(ulong[] kept)
    {
        if (kept.Length == ChunkPages)
            return true;
        if (kept.Length == 0 || kept.Length > MostRuns * 2 || kept.Length % 2 != 0)
            return false;
        var end = 0;
        for (var i = 0; i < kept.Length; i += 2)
        {
            if (First(kept[i]) < end || Count(kept[i]) == 0)
                return false;
            end = First(kept[i]) + Count(kept[i]);
        }
        return end <= ChunkPages;
    }

    private static int First(ulong head) => (int)(head & 0xFFFF);

    private static int Count(ulong head) => (int)((head >> 16) & 0xFFFF);

    private static long Stride(ulong head) => (long)(head >> 32);

    private static ulong Head(int first, int count, long stride) => (uint)first | ((ulong)(uint)count << 16) | ((ulong)stride << 32);

    /// <summary>The entry of one page of a chunk, and how many pages from it on one run describes.</summary>
    private static PageEntry Look(ulong[] chunk, int page, out int count)
    {
        count = 1;
        if (chunk.Length == ChunkPages)
            return new PageEntry(chunk[page]);
        var (low, high) = (0, (chunk.Length / 2) - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var head = chunk[middle * 2];
            var first = First(head);
            if (page < first)
                high = middle - 1;
            else if (page >= first + Count(head))
                low = middle + 1;
            else
            {
                count = Count(head) - (page - first);
                return new PageEntry(chunk[(middle * 2) + 1] + (ulong)(Stride(head) * (page - first)));
            }
        }
        count = (low * 2 < chunk.Length ? First(chunk[low * 2]) : ChunkPages) - page;
        return default;
    }

    private void Open(long chunk)
    {
        if (_openChunk >= 0)
            Pack();
        _openChunk = chunk;
        if (chunk < 0)
            return;
        Array.Clear(_open);
        if (ChunkAt((ulong)chunk) is not { } kept)
            return;
        if (kept.Length == ChunkPages)
        {
            kept.CopyTo(_open, 0);
            return;
        }
        for (var run = 0; run < kept.Length; run += 2)
        {
            var (first, count, stride) = (First(kept[run]), Count(kept[run]), (ulong)Stride(kept[run]));
            for (var i = 0; i < count; i++)
                _open[first + i] = kept[run + 1] + (stride * (ulong)i);
        }
    }

    private void Pack()
    {
        var words = 0;
        for (var page = 0; page < ChunkPages && words <= _packed.Length;)
        {
            var entry = new PageEntry(_open[page]);
            var count = 1;
            var stride = 0L;
            if (page + 1 < ChunkPages && new PageEntry(_open[page + 1]).Kind == entry.Kind)
            {
                stride = (long)(_open[page + 1] - entry.Raw);
                if (stride is < 0 or > uint.MaxValue)
                    stride = 0;
                while (page + count < ChunkPages && _open[page + count] == entry.Raw + (ulong)(stride * count))
                    count++;
            }
            if (entry.Kind != PageEntryKind.None)
            {
                if (words == _packed.Length)
                {
                    Keep((ulong)_openChunk, (ulong[])_open.Clone());
                    return;
                }
                _packed[words++] = Head(page, count, stride);
                _packed[words++] = entry.Raw;
            }
            page += count;
        }
        if (words != 0)
            Keep((ulong)_openChunk, _packed.AsSpan(0, words).ToArray());
    }

    private void Keep(ulong chunk, ulong[] kept)
    {
        ref var leaf = ref _leaves[chunk >> LeafShift];
        if (leaf is null)
        {
            _budget.Take(ArrayOverhead + (LeafChunks * sizeof(long)));
            leaf = new ulong[]?[LeafChunks];
        }
        ref var place = ref leaf[chunk & (LeafChunks - 1)];
        if (place is not null)
            _budget.Give(ArrayOverhead + (place.Length * sizeof(ulong)));
        _budget.Take(ArrayOverhead + (kept.Length * sizeof(ulong)));
        place = kept;
    }
}
