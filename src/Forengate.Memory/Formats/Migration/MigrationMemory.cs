using System.IO.Compression;

namespace Forengate.Memory;

/// <summary>
/// Guest-physical memory out of a migration stream. Pages that lie plain are handed out uncopied, one at a time, or several where they lie side by side; packed and changed ones are
/// put together when asked for, into a cache of few.
/// </summary>
internal sealed class MigrationMemory : PhysicalMemory
{
    private readonly MigrationBytes _bytes;
    private readonly PageDelta[] _deltas;
    private readonly Segment[] _segments;
    private readonly PhysicalRange[] _ranges;
    private readonly PageSlot[] _slots;

    /// <param name="bytes">Owned.</param>
    /// <param name="segments">Where parts of blocks lie: sorted, disjoint.</param>
    /// <param name="deltas">What entries of kind <see cref="PageEntryKind.Delta"/> number.</param>
    /// <param name="cacheBytes">Room for pages that had to be put together.</param>
    public MigrationMemory(MigrationBytes bytes, IEnumerable<Segment> segments, IReadOnlyList<PageDelta> deltas, int cacheBytes)
    {
        _bytes = bytes;
        _segments = [.. segments];
        _deltas = [.. deltas];
        _slots = new PageSlot[Math.Clamp(cacheBytes / Page.Size, 1, 1 << 14)];
        var ranges = new List<PhysicalRange>();
        foreach (var segment in _segments)
        {
            if (ranges.Count != 0 && ranges[^1].End == segment.Range.Start)
                ranges[^1] = new PhysicalRange(ranges[^1].Start, ranges[^1].Length + segment.Range.Length);
            else
                ranges.Add(segment.Range);
        }
        _ranges = [.. ranges];
    }

    /// <summary>A part of a block at its place.</summary>
    /// <param name="Range">Where.</param>
    /// <param name="Block">Which.</param>
    /// <param name="Offset">Of the part within the block.</param>
    public readonly record struct Segment(PhysicalRange Range, MigrationBlock Block, ulong Offset)
    {
        public ulong PageAt(ulong address) => (Offset + (address - Range.Start.Value)) >> Page.Shift;
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _ranges;

    public override PageState StateOf(PhysicalAddress address)
    {
        var index = IndexOf(address.Value);
        return index < 0 ? PageState.Missing : StateOf(_segments[index].Block, _segments[index].Block.Index[_segments[index].PageAt(address.Value)].State);
    }

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var start = address.PageStart;
        var limit = Math.Max(Math.Min(maxLength, ulong.MaxValue - start.Value - Page.Size), Page.Size);
        limit = (limit + Page.OffsetMask) & ~Page.OffsetMask;
        var index = IndexOf(start.Value);
        if (index < 0)
        {
            var end = ~index < _segments.Length ? _segments[~index].Range.Start.Value : ulong.MaxValue & ~Page.OffsetMask;
            return new PageRun(new PhysicalRange(start, Math.Min(end - start.Value, limit)), PageState.Missing);
        }
        var segment = _segments[index];
        limit = Math.Min(limit, segment.Range.End - start);
        var first = segment.PageAt(start.Value);
        var state = segment.Block.Index.RunAt(first, out var count).State;
        var pages = (ulong)count;
        while (pages << Page.Shift < limit && segment.Block.Index.RunAt(first + pages, out count).State == state)
            pages += (ulong)count;
        return new PageRun(new PhysicalRange(start, Math.Min(pages << Page.Shift, limit)), StateOf(segment.Block, state));
    }

    public override void Prefetch(PhysicalAddress address, ulong length)
    {
        var index = IndexOf(address.Value);
        if (index < 0)
            return;
        var segment = _segments[index];
        var pages = Math.Min(length, segment.Range.End - address) >> Page.Shift;
        var first = segment.PageAt(address.Value);
        var (low, high) = (long.MaxValue, 0L);
        for (var page = 0UL; page < pages;)
        {
            var entry = segment.Block.Index.RunAt(first + page, out var count);
            page += (ulong)count;
            if (entry.Kind != PageEntryKind.Stored)
                continue;
            low = Math.Min(low, entry.Value);
            high = Math.Max(high, segment.Block.Index[first + page - 1] is { Kind: PageEntryKind.Stored } last ? last.Value : entry.Value);
        }
        // Where neighbours lie far apart in the stream, fetching all that lies between would cost more than it saves.
        if (low < high && (ulong)(high - low) <= length * 2)
            _bytes.Prefetch(low, high - low + Page.Size);
    }

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = unchecked(address.Value + (ulong)done);
            var inPage = (int)(here & Page.OffsetMask);
            var target = destination.Slice(done, Math.Min(Page.Size - inPage, destination.Length - done));
            if (!ReadInPage(EntryAt(here), inPage, target))
                break;
            done += target.Length;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        var index = IndexOf(address.Value);
        if (index < 0 || maxLength <= 0)
            return default;
        var segment = _segments[index];
        var page = segment.PageAt(address.Value);
        var entry = segment.Block.Index[page];
        if (entry.Kind != PageEntryKind.Stored)
            return default;
        var inPage = (int)(address.Value & Page.OffsetMask);
        var length = Page.Size - inPage;
        var most = (int)Math.Min((ulong)maxLength, segment.Range.End - address);
        while (length < most && segment.Block.Index[++page] is { Kind: PageEntryKind.Stored } next && next.Value == entry.Value + inPage + length)
            length += Page.Size;
        return _bytes.Map(entry.Value + inPage, Math.Min(length, most));
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _bytes.Dispose();
        base.Dispose(disposing);
    }

    private static PageState StateOf(MigrationBlock block, PageState state) => state == PageState.Missing ? block.Unsent : state;

    private PageEntry EntryAt(ulong address)
    {
        var index = IndexOf(address);
        return index < 0 ? default : _segments[index].Block.Index[_segments[index].PageAt(address)];
    }

    private int IndexOf(ulong address)
    {
        var (low, high) = (0, _segments.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            var range = _segments[middle].Range;
            if (address < range.Start.Value)
                high = middle - 1;
            else if (address - range.Start.Value >= range.Length)
                low = middle + 1;
            else
                return middle;
        }
        return ~low;
    }

    private bool ReadInPage(PageEntry entry, int at, Span<byte> target)
    {
        switch (entry.Kind)
        {
            case PageEntryKind.Stored:
                return _bytes.Read(entry.Value + at, target) == target.Length;
            case PageEntryKind.Zero:
                target.Clear();
                return true;
            case PageEntryKind.Filled:
                target.Fill((byte)entry.Value);
                return true;
            case PageEntryKind.Deflated or PageEntryKind.Delta:
                return ReadMade(entry, at, target);
            default:
                return false;
        }
    }

    /// <summary>A page that must be put together first: from the cache, or into it.</summary>
    private bool ReadMade(PageEntry entry, int at, Span<byte> target)
    {
        ref var place = ref _slots[(int)((entry.Raw * 0x9E37_79B9_7F4A_7C15) >> 40) % _slots.Length];
        var slot = Volatile.Read(ref place);
        if (slot is null || slot.Key != entry.Raw)
        {
            // Slots never change once they are seen, so readers need no lock.
            var bytes = new byte[Page.Size];
            if (!TryMake(entry, bytes))
                return false;
            slot = new PageSlot(entry.Raw, bytes);
            Volatile.Write(ref place, slot);
        }
        slot.Bytes.AsSpan(at, target.Length).CopyTo(target);
        return true;
    }

    private bool TryMake(PageEntry entry, Span<byte> page)
    {
        var changes = new Stack<PageDelta>();
        while (entry.Kind == PageEntryKind.Delta)
        {
            if ((ulong)entry.Value >= (ulong)_deltas.Length || changes.Count > _deltas.Length)
                return false;
            changes.Push(_deltas[entry.Value]);
            entry = changes.Peek().Before;
        }
        if (entry.Kind == PageEntryKind.Deflated ? !TryInflate(entry.Value, page) : !ReadInPage(entry, 0, page))
            return false;
        Span<byte> change = stackalloc byte[Page.Size];
        while (changes.TryPop(out var delta))
        {
            var bytes = change[..Math.Min((int)delta.Length, Page.Size)];
            if (_bytes.Read(delta.Offset, bytes) != bytes.Length || !Xbzrle.TryApply(bytes, page))
                return false;
        }
        return true;
    }

    private bool TryInflate(long offset, Span<byte> page)
    {
        Span<byte> head = stackalloc byte[MigrationLayout.CompressedHeaderSize];
        if (_bytes.Read(offset, head) != head.Length)
            return false;
        var length = System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(head);
        if (length > MigrationLayout.MostCompressedSize)
            return false;
        var packed = new byte[length];
        if (_bytes.Read(offset + head.Length, packed) != packed.Length)
            return false;
        try
        {
            using var inflate = new ZLibStream(new MemoryStream(packed), CompressionMode.Decompress);
            inflate.ReadExactly(page);
            return true;
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            return false;
        }
    }

    private sealed record PageSlot(ulong Key, byte[] Bytes);
}
