using System.Numerics;
using System.Runtime.CompilerServices;

namespace Forengate.Memory;

/// <summary>
/// Guest-physical memory in a kdump-compressed file, read at random: a page's descriptor is found by counting bits, its data unpacked on demand. Pages unpacked for small reads are kept,
/// within a bound; large reads unpack on all cores and keep nothing.
/// </summary>
internal sealed unsafe class KdumpMemory : PhysicalMemory
{
    /// <summary>Reads from this size on are passes over memory: they would only wash out what is worth keeping.</summary>
    private const int LargeRead = 64 * Page.Size;

    /// <summary>Pages that a thread unpacks at a time: half a millisecond, against microseconds to hand them out.</summary>
    private const int Batch = 64;

    /// <summary>Plain pages are mapped alone only to those who ask for no more: to a pass a lone one between packed ones is a nuisance.</summary>
    private const int LeastMapped = 16 * Page.Size;

    private readonly KdumpIndex _index;
    private readonly KdumpBytes _bytes;
    private readonly PhysicalRange[] _ranges;
    private readonly PageRun[] _gaps;
    private readonly PageCache _cache;

    /// <param name="index">Its file is owned.</param>
    /// <param name="ranges">What <see cref="KdumpIndex.Exists"/> says.</param>
    /// <param name="gaps">Pages that are not dumped and why, where the file says so; others are excluded. Sorted and disjoint.</param>
    /// <param name="cacheBytes">Bytes of pages kept.</param>
    public KdumpMemory(KdumpIndex index, PhysicalRange[] ranges, PageRun[] gaps, int cacheBytes)
    {
        _index = index;
        _bytes = index.Bytes;
        _ranges = ranges;
        _gaps = gaps;
        _cache = new PageCache(cacheBytes);
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _ranges;

    public override PageState StateOf(PhysicalAddress address)
    {
        var frame = address.Frame;
        if (!_index.Exists[frame] || _index.Bad[frame])
            return PageState.Missing;
        if (!_index.Dumped[frame])
            return GapAt(address, out _);
        return _index.Zero[frame] ? PageState.Zero : PageState.Present;
    }

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var start = address.PageStart;
        var state = StateOf(start);
        var pages = Math.Max(Math.Min(maxLength, ulong.MaxValue - start.Value - Page.Size) + Page.OffsetMask >> Page.Shift, 1);
        var limit = Math.Min(start.Frame + pages, ulong.MaxValue >> Page.Shift);
        var isGap = _index.Exists[start.Frame] && !_index.Bad[start.Frame] && !_index.Dumped[start.Frame];
        if (isGap)
        {
            GapAt(start, out var gapEnd);
            limit = Math.Min(limit, gapEnd.Frame);
        }
        // To the bitmaps all pages that are not dumped are alike.
        var end = EndOfRun(start.Frame, limit, isGap ? PageState.Excluded : state);
        return new PageRun(new PhysicalRange(start, (end - start.Frame) << Page.Shift), state);
    }

    public override void Prefetch(PhysicalAddress address, ulong length)
    {
        _bytes.File.CheckLength();
        if (_bytes.IsFlattened || !_index.Dumped[address.Frame] || !_index.TryFind(address.Frame, out var first))
            return;
        var last = address.Frame + (length >> Page.Shift);
        while (last > address.Frame && !(_index.Dumped[last] && !_index.Zero[last]))
            last--;
        // Pages are packed in the order of their addresses by all that write this format; where not, the advice is wrong and does no harm.
        if (_index.TryFind(last, out var end) && end.Offset > first.Offset)
            _bytes.File.Advise(MappedFileAdvice.WillNeed, (long)first.Offset, (long)Math.Min(end.Offset - first.Offset + end.Size, length));
    }

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = unchecked(address.Value + (ulong)done);
            var (frame, offset) = (here >> Page.Shift, (int)(here & Page.OffsetMask));
            if (offset == 0 && destination.Length - done >= LargeRead)
            {
                var many = ReadRun(frame, destination[done..]);
                if (many == 0)
                    break;
                done += many;
                continue;
            }
            var target = destination.Slice(done, Math.Min(Page.Size - offset, destination.Length - done));
            if (!ReadPart(frame, offset, target))
                break;
            done += target.Length;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        if (maxLength <= 0 || StateOf(address) != PageState.Present || !TryFind(address.Frame, out var page) || !page.IsPlain)
            return default;
        var span = _bytes.Span(page.Offset + (ulong)address.PageOffset, Math.Min(maxLength, Plain(address, page, maxLength)));
        return span.Length >= Math.Min(maxLength, Page.Size - address.PageOffset) && (span.Length >= Math.Min(maxLength, LeastMapped)) ? span : default;
    }

    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        if (pages.Length < 2 * Batch)
            return ReadSome(pages, destination, states);
        var count = pages.Length;
        var readable = 0;
        fixed (PhysicalAddress* addresses = pages)
        fixed (byte* bytes = destination[..(count * Page.Size)])
        fixed (PageState* found = states[..count])
        {
            // A lambda can't take what is fixed, but copies of it.
            var from = addresses;
            var to = bytes;
            var say = found;
            Parallel.For(0, (count + Batch - 1) / Batch, batch =>
            {
                var first = batch * Batch;
                var length = Math.Min(Batch, count - first);
                Interlocked.Add(ref readable, ReadSome(
                    new ReadOnlySpan<PhysicalAddress>(from + first, length), new Span<byte>(to + ((long)first * Page.Size), length * Page.Size), new Span<PageState>(say + first, length)));
            });
        }
        return readable;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _bytes.Dispose();
        base.Dispose(disposing);
    }

    private int ReadSome(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        var readable = 0;
        for (var i = 0; i < pages.Length; i++)
        {
            var target = destination.Slice(i * Page.Size, Page.Size);
            states[i] = StateOf(pages[i]);
            if (states[i] is (PageState.Present or PageState.Zero) && ReadPart(pages[i].Frame, 0, target))
            {
                readable++;
                continue;
            }
            target.Clear();
            if (states[i] == PageState.Present)
                states[i] = PageState.Missing;
        }
        return readable;
    }

    /// <summary>Reads whole pages of one state from a page boundary on, at most 1 GiB.</summary>
    /// <returns>Bytes up to the first page that has none.</returns>
    private int ReadRun(ulong frame, Span<byte> destination)
    {
        var run = RunAt(PhysicalAddress.FromFrame(frame), (ulong)Math.Min(destination.Length & ~(int)Page.OffsetMask, 1 << 30));
        var count = (int)run.Range.PageCount;
        destination = destination[..(count * Page.Size)];
        switch (run.State)
        {
            case PageState.Zero:
                destination.Clear();
                return destination.Length;
            case PageState.Present:
                _bytes.File.CheckLength();
                return (int)UnpackRun(frame, count, destination) * Page.Size;
            default:
                return 0;
        }
    }

    /// <summary>Unpacks neighbouring pages, on all cores where there are enough of them. Returns how many from the first on are good.</summary>
    private long UnpackRun(ulong frame, int count, Span<byte> destination)
    {
        if (count < 2 * Batch)
            return UnpackSome(frame, count, destination);
        var good = (long)count;
        fixed (byte* bytes = destination)
        {
            var to = bytes;
            Parallel.For(0, (count + Batch - 1) / Batch, (batch, loop) =>
            {
                var first = batch * Batch;
                var length = Math.Min(Batch, count - first);
                var done = UnpackSome(frame + (ulong)first, length, new Span<byte>(to + ((long)first * Page.Size), length * Page.Size));
                if (done == length)
                    return;
                // What lies behind the first bad page is not asked for any more; what lies before it still is.
                loop.Break();
                for (var known = Volatile.Read(ref good); first + done < known; known = Volatile.Read(ref good))
                    Interlocked.CompareExchange(ref good, first + done, known);
            });
        }
        return good;
    }

    private int UnpackSome(ulong frame, int count, Span<byte> destination)
    {
        for (var i = 0; i < count; i++)
        {
            if (TryFind(frame + (ulong)i, out var page) && Unpack(page, destination.Slice(i * Page.Size, Page.Size)))
                continue;
            _index.Spoil(frame + (ulong)i);
            return i;
        }
        return count;
    }

    /// <summary>Reads within one page.</summary>
    private bool ReadPart(ulong frame, int offset, Span<byte> destination)
    {
        switch (StateOf(PhysicalAddress.FromFrame(frame)))
        {
            case PageState.Zero:
                destination.Clear();
                return true;
            case PageState.Present:
                break;
            default:
                return false;
        }
        if (_cache.TryCopy(frame, offset, destination, out _)
            || (TryFind(frame, out var page) && (page.IsPlain ? _bytes.TryCopy(page.Offset + (ulong)offset, destination) : UnpackPart(frame, page, offset, destination))))
            return true;
        _index.Spoil(frame);
        return false;
    }

    [SkipLocalsInit]
    private bool UnpackPart(ulong frame, in KdumpPage page, int offset, Span<byte> destination)
    {
        Span<byte> whole = destination.Length == Page.Size ? destination : stackalloc byte[Page.Size];
        if (!Unpack(page, whole))
            return false;
        _cache.Put(frame, whole, PageState.Present);
        if (destination.Length != Page.Size)
            whole.Slice(offset, destination.Length).CopyTo(destination);
        return true;
    }

    [SkipLocalsInit]
    private bool Unpack(in KdumpPage page, Span<byte> whole)
    {
        if (page.IsPlain)
            return _bytes.TryCopy(page.Offset, whole);
        Span<byte> scratch = stackalloc byte[KdumpPage.LargestSize];
        var packed = _bytes.Take(page.Offset, (int)page.Size, scratch);
        return !packed.IsEmpty && KdumpPage.TryDecode(page.Codec, packed, whole);
    }

    /// <summary>As in the index; what is no longer there or no longer makes sense was changed since.</summary>
    private bool TryFind(ulong frame, out KdumpPage page) => _index.TryFind(frame, out page) && page.IsSane;

    /// <summary>How many bytes lie plain behind one another from the address on, in memory and in the file.</summary>
    private int Plain(PhysicalAddress address, in KdumpPage first, int maxLength)
    {
        var length = (ulong)(Page.Size - address.PageOffset);
        var (frame, offset) = (address.Frame, first.Offset);
        while (length < (ulong)maxLength)
        {
            frame++;
            offset += Page.Size;
            if (StateOf(PhysicalAddress.FromFrame(frame)) != PageState.Present || !TryFind(frame, out var next) || !next.IsPlain || next.Offset != offset)
                break;
            length += Page.Size;
        }
        return (int)Math.Min(length, int.MaxValue);
    }

    /// <summary>Why a page is not dumped, and how far that reason reaches.</summary>
    private PageState GapAt(PhysicalAddress address, out PhysicalAddress end)
    {
        var (low, high) = (0, _gaps.Length);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (_gaps[middle].Range.End <= address)
                low = middle + 1;
            else
                high = middle;
        }
        // The first that ends behind the address: around it, or behind it.
        end = low == _gaps.Length ? PhysicalAddress.FromFrame(ulong.MaxValue >> Page.Shift) : _gaps[low].Range.Start > address ? _gaps[low].Range.Start : _gaps[low].Range.End;
        return low < _gaps.Length && _gaps[low].Range.Contains(address) ? _gaps[low].State : PageState.Excluded;
    }

    /// <summary>The first frame from here on that is in another state, by words of the bitmaps.</summary>
    private ulong EndOfRun(ulong frame, ulong limit, PageState state)
    {
        while (frame < limit)
        {
            var word = frame / FrameBitmap.BitsPerWord;
            if (word >= (ulong)_index.Exists.Words.Length)
                return state == PageState.Missing ? limit : frame;
            var bit = (int)(frame % FrameBitmap.BitsPerWord);
            var others = ~InState((int)word, state) & (ulong.MaxValue << bit);
            if (others != 0)
                return Math.Min((word * FrameBitmap.BitsPerWord) + (ulong)BitOperations.TrailingZeroCount(others), limit);
            frame = (word + 1) * FrameBitmap.BitsPerWord;
        }
        return limit;
    }

    private ulong InState(int word, PageState state)
    {
        var (exists, dumped, bad, zero) = (_index.Exists.Words[word], _index.Dumped.Words[word], _index.Bad.Words[word], _index.Zero.Words[word]);
        return state switch
        {
            PageState.Missing => ~exists | bad,
            PageState.Excluded => exists & ~bad & ~dumped,
            PageState.Zero => exists & ~bad & dumped & zero,
            _ => exists & ~bad & dumped & ~zero,
        };
    }
}
