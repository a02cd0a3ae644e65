using System.Runtime.CompilerServices;

namespace Forengate.Memory;

/// <summary>
/// Guest-physical memory whose pages lie in a mapped file, in extents: what every image format that stores pages uncompressed comes down to. Reads and maps without a copy.
/// </summary>
/// <remarks>
/// Extents come from hostile files: they may overlap (stored pages win, then the extent that starts lower, then the one named first), leave pages half covered (such pages are left out), lie behind the file's end (pages missing) or
/// beyond 52 bits (left out). Holes of a sparse file are zero pages.
/// </remarks>
public sealed class FileMemory : PhysicalMemory
{
    private const int MaxHoles = 1 << 18;

    private readonly MappedFile _file;
    private readonly Extent[] _extents;
    private readonly PhysicalRange[] _ranges;
    private int _lastHit;

    /// <param name="file">Owned: disposed with this memory.</param>
    /// <param name="extents">In any order.</param>
    public FileMemory(MappedFile file, IEnumerable<FileExtent> extents)
    {
        _file = file;
        var sorted = new List<Extent>();
        foreach (var extent in extents)
            AddWholePages(sorted, extent, (ulong)file.Length);
        _extents = SplitAtHoles(file, WithoutOverlaps(sorted));
        _ranges = Merge(_extents);
        foreach (var extent in _extents)
        {
            if (extent.State == PageState.Missing)
                MissingBytes += extent.End - extent.Start;
        }
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _ranges;

    /// <summary>Bytes that should be in the file and are not, in whole pages: not 0 for a truncated file.</summary>
    public ulong MissingBytes { get; }

    public override PageState StateOf(PhysicalAddress address)
    {
        var index = IndexOf(address.Value);
        return index < 0 ? PageState.Missing : _extents[index].State;
    }

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var start = address.PageStart;
        var limit = start.Value + Math.Max(Math.Min(maxLength, ulong.MaxValue - start.Value - Page.Size), Page.Size);
        limit = (limit + Page.OffsetMask) & ~Page.OffsetMask;
        var index = IndexOf(start.Value);
        var (end, state) = index >= 0
            ? (_extents[index].End, _extents[index].State)
            : (~index < _extents.Length ? _extents[~index].Start : ulong.MaxValue & ~Page.OffsetMask, PageState.Missing);
        return new PageRun(new PhysicalRange(start, Math.Min(end, limit) - start.Value), state);
    }

    public override void Prefetch(PhysicalAddress address, ulong length)
    {
        var index = IndexOf(address.Value);
        if (index < 0 || _extents[index].State != PageState.Present)
            return;
        _file.CheckLength();
        ref readonly var extent = ref _extents[index];
        _file.Advise(MappedFileAdvice.Populate, (long)extent.OffsetOf(address.Value), (long)Math.Min(length, extent.End - address.Value));
    }

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = unchecked(address.Value + (ulong)done);
            var index = IndexOf(here);
            if (index < 0)
                break;
            ref readonly var extent = ref _extents[index];
            var count = (int)Math.Min(extent.End - here, (ulong)(destination.Length - done));
            var target = destination.Slice(done, count);
            if (extent.State == PageState.Present)
            {
                var source = _file.Span((long)extent.OffsetOf(here), count);
                source.CopyTo(target);
                if (source.Length < count)
                    return done + source.Length;
            }
            else if (extent.State == PageState.Zero)
                target.Clear();
            else
                break;
            done += count;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        var index = IndexOf(address.Value);
        if (index < 0 || maxLength <= 0 || _extents[index].State != PageState.Present)
            return default;
        ref readonly var extent = ref _extents[index];
        return _file.Span((long)extent.OffsetOf(address.Value), (int)Math.Min(extent.End - address.Value, (ulong)maxLength));
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _file.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>Index of the extent that holds the address, else the complement of the index of the next one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int IndexOf(ulong address)
    {
        // Reads come in clusters; threads may overwrite each other's hint, which costs a search and nothing else.
        var hint = _lastHit;
        return hint < _extents.Length && address - _extents[hint].Start < _extents[hint].Length ? hint : Search(address);
    }

    private int Search(ulong address)
    {
        var (low, high) = (0, _extents.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            ref readonly var extent = ref _extents[middle];
            if (address < extent.Start)
                high = middle - 1;
            else if (address >= extent.End)
                low = middle + 1;
            else
                return _lastHit = middle;
        }
        return ~low;
    }

    private static void AddWholePages(List<Extent> into, FileExtent extent, ulong fileLength)
    {
        const ulong Limit = 1UL << PhysicalAddress.Bits;
        if (extent.Start.Value >= Limit)
            return;
        var start = (extent.Start.Value + Page.OffsetMask) & ~Page.OffsetMask;
        var end = (extent.Start.Value + Math.Min(extent.Length, Limit - extent.Start.Value)) & ~Page.OffsetMask;
        if (end <= start)
            return;
        if (extent.State != PageState.Present)
        {
            into.Add(new Extent(start, end, 0, extent.State));
            return;
        }

        var skipped = start - extent.Start.Value;
        var offset = unchecked(extent.FileOffset + skipped);
        var inFile = offset < extent.FileOffset || offset >= fileLength ? 0 : (fileLength - offset) & ~Page.OffsetMask;
        var stored = Math.Min(inFile, end - start);
        if (stored != 0)
            into.Add(new Extent(start, start + stored, offset, PageState.Present));
        if (start + stored < end)
            into.Add(new Extent(start + stored, end, 0, PageState.Missing));
    }

    /// <summary>Sorted and disjoint: where extents overlap, pages that are stored win over pages that are not.</summary>
    private static List<Extent> WithoutOverlaps(List<Extent> extents)
    {
        if (IsSortedAndDisjoint(extents))
            return extents;

        // Two passes keep it simple and O(n log n): the stored ones first, then the rest into the gaps that are left.
        var stored = Sweep(extents.Where(extent => extent.State == PageState.Present));
        var others = Sweep(extents.Where(extent => extent.State != PageState.Present));
        var result = new List<Extent>(stored.Count + others.Count);
        var next = 0;
        foreach (var other in others)
        {
            var start = other.Start;
            while (next < stored.Count && stored[next].End <= start)
                result.Add(stored[next++]);
            while (next < stored.Count && stored[next].Start < other.End)
            {
                if (stored[next].Start > start)
                    result.Add(other.Part(start, stored[next].Start));
                start = stored[next].End;
                if (start > other.End)
                    break;
                result.Add(stored[next++]);
            }
            if (start < other.End)
                result.Add(other.Part(start, other.End));
        }
        while (next < stored.Count)
            result.Add(stored[next++]);
        return result;
    }

    /// <summary>Sorts by start (stable) and gives each byte to the extent that reached it first.</summary>
    private static List<Extent> Sweep(IEnumerable<Extent> extents)
    {
        var result = new List<Extent>();
        var covered = 0UL;
        foreach (var extent in extents.OrderBy(extent => extent.Start))
        {
            var start = Math.Max(extent.Start, covered);
            if (start >= extent.End)
                continue;
            var part = extent.Part(start, extent.End);
            if (result.Count != 0 && result[^1].IsContinuedBy(part))
                result[^1] = result[^1] with { End = part.End };
            else
                result.Add(part);
            covered = extent.End;
        }
        return result;
    }

    private static bool IsSortedAndDisjoint(List<Extent> extents)
    {
        for (var i = 1; i < extents.Count; i++)
        {
            if (extents[i].Start < extents[i - 1].End)
                return false;
        }
        return true;
    }

    private static Extent[] SplitAtHoles(MappedFile file, List<Extent> extents)
    {
        if (!file.IsSparse)
            return [.. extents];
        var result = new List<Extent>(extents.Count);
        var hole = new HoleFinder(file);
        foreach (var extent in extents)
        {
            var rest = extent;
            while (rest.State == PageState.Present && rest.Length != 0
                && hole.TryFind((long)rest.Offset, out var holeStart, out var holeEnd)
                && (ulong)holeStart < rest.Offset + rest.Length)
            {
                // Only pages that lie wholly in the hole are known to be zero.
                var inHole = (ulong)Math.Max(holeStart, (long)rest.Offset) - rest.Offset;
                var from = rest.Start + ((inHole + Page.OffsetMask) & ~Page.OffsetMask);
                var to = rest.Start + (Math.Min((ulong)holeEnd - rest.Offset, rest.Length) & ~Page.OffsetMask);
                if (to <= from)
                {
                    // A hole smaller than a page: what lies before and around it stays as it is.
                    to = Math.Min(rest.Start + (((ulong)holeEnd - rest.Offset + Page.OffsetMask) & ~Page.OffsetMask), rest.End);
                    result.Add(rest.Part(rest.Start, to));
                }
                else
                {
                    if (from > rest.Start)
                        result.Add(rest.Part(rest.Start, from));
                    result.Add(new Extent(from, to, 0, PageState.Zero));
                }
                rest = rest.Part(to, rest.End);
            }
            if (rest.Length != 0)
                result.Add(rest);
        }
        return [.. result];
    }

    private static PhysicalRange[] Merge(Extent[] extents)
    {
        var ranges = new List<PhysicalRange>();
        foreach (var extent in extents)
        {
            var range = new PhysicalRange(new PhysicalAddress(extent.Start), extent.Length);
            if (ranges.Count != 0 && ranges[^1].End == range.Start)
                ranges[^1] = new PhysicalRange(ranges[^1].Start, ranges[^1].Length + range.Length);
            else
                ranges.Add(range);
        }
        return [.. ranges];
    }

    /// <summary>Finds holes with few system calls: extents mostly come in the file's order, and many lie before the same hole.</summary>
    private struct HoleFinder(MappedFile file)
    {
        private long _from = long.MaxValue;
        private long _start;
        private long _end;
        private int _asked;

        /// <summary>The first hole that ends behind the offset.</summary>
        public bool TryFind(long offset, out long start, out long end)
        {
            if (offset < _from || offset >= _end)
            {
                if (_asked++ >= MaxHoles || !file.TryFindHole(offset, out _start, out _end))
                    _start = _end = long.MaxValue;
                _from = offset;
            }
            (start, end) = (_start, _end);
            return _start != long.MaxValue;
        }
    }

    private readonly record struct Extent(ulong Start, ulong End, ulong Offset, PageState State)
    {
        public ulong Length => End - Start;

        public ulong OffsetOf(ulong address) => Offset + (address - Start);

        public Extent Part(ulong start, ulong end) => this with { Start = start, End = end, Offset = State == PageState.Present ? OffsetOf(start) : 0 };

        public bool IsContinuedBy(Extent next) => End == next.Start && State == next.State && (State != PageState.Present || OffsetOf(End) == next.Offset);
    }
}
