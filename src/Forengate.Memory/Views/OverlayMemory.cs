namespace Forengate.Memory;

/// <summary>
/// Another memory with some bytes changed: a page is copied when it is first written to, everything else is read and mapped from below. The memory below is never touched.
/// </summary>
/// <remarks>Writing is not safe beside reading: write first, then share. Spans handed out earlier see later writes only to pages that were copied already.</remarks>
public sealed class OverlayMemory : PhysicalMemory
{
    private readonly PhysicalMemory _below;
    private readonly Dictionary<ulong, byte[]> _pages = [];
    private readonly List<ulong> _frames = [];

    /// <param name="below">Not owned.</param>
    public OverlayMemory(PhysicalMemory below) => _below = below;

    public override IReadOnlyList<PhysicalRange> Ranges => _below.Ranges;

    public override bool MayChange => _below.MayChange;

    /// <summary>Page frame numbers of the pages that were written to, ascending.</summary>
    public IReadOnlyList<ulong> PatchedFrames => _frames;

    /// <summary>
    /// Writes bytes over what is below. Fails, and writes nothing, where a page has no bytes of its own and is not covered whole, or lies outside of <see cref="Ranges"/>: no
    /// invented bytes around the written ones.
    /// </summary>
    public bool TryWrite(PhysicalAddress address, ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return true;
        if ((ulong)bytes.Length - 1 > ulong.MaxValue - address.Value)
            return false;
        var first = address.Frame;
        var last = (address + (ulong)(bytes.Length - 1)).Frame;
        var fresh = new List<(ulong Frame, byte[] Page)>();
        for (var frame = first; frame <= last; frame++)
        {
            if (_pages.ContainsKey(frame))
                continue;
            var start = PhysicalAddress.FromFrame(frame);
            var page = new byte[Page.Size];
            var isWhole = address <= start && (address + (ulong)bytes.Length) - start >= Page.Size;
            if (!_below.TryRead(start, page) && !(isWhole && IsInRanges(start)))
                return false;
            fresh.Add((frame, page));
        }
        foreach (var (frame, page) in fresh)
        {
            _pages.Add(frame, page);
            _frames.Insert(~_frames.BinarySearch(frame), frame);
        }
        for (var done = 0; done < bytes.Length;)
        {
            var here = address + (ulong)done;
            var count = Math.Min(Page.Size - here.PageOffset, bytes.Length - done);
            bytes.Slice(done, count).CopyTo(_pages[here.Frame].AsSpan(here.PageOffset));
            done += count;
        }
        return true;
    }

    /// <summary>Writes bytes at a virtual address: all of them, or nothing.</summary>
    /// <param name="space">Page tables over this memory or the one below.</param>
    /// <param name="address">Where, in that address space.</param>
    /// <param name="bytes">What.</param>
    public bool TryWrite(AddressSpace space, VirtualAddress address, ReadOnlySpan<byte> bytes)
    {
        var parts = new List<(PhysicalAddress Address, int Start, int Length)>();
        for (var done = 0; done < bytes.Length;)
        {
            var here = address + (ulong)done;
            var count = Math.Min(Page.Size - here.PageOffset, bytes.Length - done);
            var translation = space.Translate(here);
            if (!translation.Ok || !CanWrite(translation.Address, count))
                return false;
            parts.Add((translation.Address, done, count));
            done += count;
        }
        foreach (var (part, start, length) in parts)
            TryWrite(part, bytes.Slice(start, length));
        return true;
    }

    public override PageState StateOf(PhysicalAddress address) => _pages.ContainsKey(address.Frame) ? PageState.Present : _below.StateOf(address);

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var run = _below.RunAt(address, maxLength);
        var patched = NextPatched(run.Range.Start.Frame);
        if (patched == run.Range.Start.Frame)
        {
            return run.State == PageState.Present
                ? run
                : new PageRun(new PhysicalRange(run.Range.Start, Page.Size), PageState.Present);
        }
        var end = PhysicalAddress.FromFrame(patched);
        return run.State == PageState.Present || patched > run.Range.End.Frame || end >= run.Range.End
            ? run
            : new PageRun(new PhysicalRange(run.Range.Start, end - run.Range.Start), run.State);
    }

    public override void Prefetch(PhysicalAddress address, ulong length) => _below.Prefetch(address, length);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            int count;
            if (_pages.TryGetValue(here.Frame, out var page))
            {
                count = Math.Min(Page.Size - here.PageOffset, destination.Length - done);
                page.AsSpan(here.PageOffset, count).CopyTo(destination[done..]);
                done += count;
                continue;
            }
            count = UntilPatched(here, destination.Length - done);
            var got = _below.Read(here, destination.Slice(done, count));
            done += got;
            if (got < count)
                break;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        if (maxLength <= 0)
            return default;
        return _pages.TryGetValue(address.Frame, out var page)
            ? page.AsSpan(address.PageOffset, Math.Min(Page.Size - address.PageOffset, maxLength))
            : _below.Map(address, UntilPatched(address, maxLength));
    }

    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        var readable = _below.ReadPages(pages, destination, states);
        if (_pages.Count == 0)
            return readable;
        for (var i = 0; i < pages.Length; i++)
        {
            if (!_pages.TryGetValue(pages[i].Frame, out var page))
                continue;
            if (states[i] is not (PageState.Present or PageState.Zero))
                readable++;
            states[i] = PageState.Present;
            page.CopyTo(destination.Slice(i * Page.Size, Page.Size));
        }
        return readable;
    }

    /// <summary>True when a write within one page would succeed.</summary>
    private bool CanWrite(PhysicalAddress address, int length) =>
        TryRead<byte>(address.PageStart, out _) || (length == Page.Size && IsInRanges(address));

    private bool IsInRanges(PhysicalAddress address)
    {
        foreach (var range in Ranges)
        {
            if (range.Contains(address))
                return true;
        }
        return false;
    }

    /// <summary>The first patched frame at or behind <paramref name="frame"/>; one that no address has when there is none.</summary>
    private ulong NextPatched(ulong frame)
    {
        var index = _frames.BinarySearch(frame);
        if (index < 0)
            index = ~index;
        return index < _frames.Count ? _frames[index] : ulong.MaxValue >> Page.Shift;
    }

    private int UntilPatched(PhysicalAddress address, int length) =>
        (int)Math.Min((ulong)length, PhysicalAddress.FromFrame(NextPatched(address.Frame)) - address);
}
