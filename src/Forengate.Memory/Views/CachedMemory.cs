using System.Buffers;

namespace Forengate.Memory;

/// <summary>
/// Keeps pages of a slow source, such as a guest that is read through another process or a socket: lists and page tables touch the same pages again and again. Bounded; the page
/// used longest ago goes first, roughly.
/// </summary>
/// <remarks>Right only while the source stands still: never put it over a guest that runs. Safe for concurrent use.</remarks>
public sealed class CachedMemory : PhysicalMemory
{
    private const int LargeRead = 64 * Page.Size;
    private const int Batch = 64;

    private readonly PhysicalMemory _source;
    private readonly bool _ownsSource;
    private readonly PageCache _cache;

    /// <param name="source">Read on a miss.</param>
    /// <param name="capacity">Bytes of pages kept, at least 1 MiB.</param>
    /// <param name="ownsSource">Dispose the source with the cache.</param>
    public CachedMemory(PhysicalMemory source, int capacity = 64 << 20, bool ownsSource = true)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1 << 20);
        _source = source;
        _ownsSource = ownsSource;
        _cache = new PageCache(capacity);
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _source.Ranges;

    public override PageState StateOf(PhysicalAddress address) => _source.StateOf(address);

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength) => _source.RunAt(address, maxLength);

    public override void Prefetch(PhysicalAddress address, ulong length) => _source.Prefetch(address, length);

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) => _source.Map(address, maxLength);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        // A pass over memory would only wash out what is worth keeping.
        if (destination.Length >= LargeRead)
            return _source.Read(address, destination);
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var target = destination.Slice(done, Math.Min(Page.Size - here.PageOffset, destination.Length - done));
            if (_cache.TryCopy(here.Frame, here.PageOffset, target, out var state))
            {
                if (state is not (PageState.Present or PageState.Zero))
                    break;
                done += target.Length;
                continue;
            }
            if (!Fetch(here, destination.Length - done))
                break;
        }
        return done;
    }

    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        var readable = 0;
        Span<int> missed = stackalloc int[Batch];
        var misses = 0;
        for (var i = 0; i < pages.Length; i++)
        {
            if (_cache.TryCopy(pages[i].Frame, 0, destination.Slice(i * Page.Size, Page.Size), out states[i]))
            {
                if (states[i] is PageState.Present or PageState.Zero)
                    readable++;
                continue;
            }
            missed[misses++] = i;
            if (misses == Batch)
            {
                readable += FetchInto(pages, missed, destination, states);
                misses = 0;
            }
        }
        return readable + FetchInto(pages, missed[..misses], destination, states);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing && _ownsSource)
            _source.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>Reads the page and those that the same read will want next into the cache.</summary>
    private bool Fetch(PhysicalAddress address, int length)
    {
        var count = Math.Clamp((int)((ulong)(address.PageOffset + length + Page.Size - 1) >> Page.Shift), 1, Batch);
        Span<PhysicalAddress> pages = stackalloc PhysicalAddress[Batch];
        for (var i = 0; i < count; i++)
            pages[i] = address.PageStart + ((ulong)i << Page.Shift);
        var buffer = ArrayPool<byte>.Shared.Rent(count * Page.Size);
        try
        {
            Span<PageState> states = stackalloc PageState[Batch];
            _source.ReadPages(pages[..count], buffer.AsSpan(0, count * Page.Size), states[..count]);
            for (var i = count - 1; i >= 0; i--)
                _cache.Put(pages[i].Frame, buffer.AsSpan(i * Page.Size, Page.Size), states[i]);
            return states[0] is PageState.Present or PageState.Zero;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private int FetchInto(ReadOnlySpan<PhysicalAddress> pages, ReadOnlySpan<int> missed, Span<byte> destination, Span<PageState> states)
    {
        if (missed.IsEmpty)
            return 0;
        Span<PhysicalAddress> wanted = stackalloc PhysicalAddress[Batch];
        Span<PageState> got = stackalloc PageState[Batch];
        for (var i = 0; i < missed.Length; i++)
            wanted[i] = pages[missed[i]].PageStart;
        var buffer = ArrayPool<byte>.Shared.Rent(missed.Length * Page.Size);
        try
        {
            var bytes = buffer.AsSpan(0, missed.Length * Page.Size);
            var readable = _source.ReadPages(wanted[..missed.Length], bytes, got[..missed.Length]);
            for (var i = 0; i < missed.Length; i++)
            {
                var page = bytes.Slice(i * Page.Size, Page.Size);
                page.CopyTo(destination.Slice(missed[i] * Page.Size, Page.Size));
                states[missed[i]] = got[i];
                _cache.Put(wanted[i].Frame, page, got[i]);
            }
            return readable;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
