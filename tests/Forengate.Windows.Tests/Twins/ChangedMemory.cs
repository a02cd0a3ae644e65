using Forengate.Memory;

namespace Forengate.Windows.Tests;

/// <summary>Another memory with some of its pages changed, copied on first touch.</summary>
internal sealed class ChangedMemory(PhysicalMemory inner) : PhysicalMemory
{
    private readonly Dictionary<ulong, byte[]> _pages = [];

    public override IReadOnlyList<PhysicalRange> Ranges => inner.Ranges;

    /// <summary>The page's bytes, to change.</summary>
    public Span<byte> Page(ulong address)
    {
        var frame = address >> Memory.Page.Shift;
        if (!_pages.TryGetValue(frame, out var page))
        {
            page = new byte[Memory.Page.Size];
            inner.Read(PhysicalAddress.FromFrame(frame), page);
            _pages[frame] = page;
        }
        return page;
    }

    public override PageState StateOf(PhysicalAddress address) => _pages.ContainsKey(address.Frame) ? PageState.Present : inner.StateOf(address);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var part = destination.Slice(done, Math.Min(Memory.Page.Size - here.PageOffset, destination.Length - done));
            if (_pages.TryGetValue(here.Frame, out var page))
                page.AsSpan(here.PageOffset, part.Length).CopyTo(part);
            else if (inner.Read(here, part) is var got && got < part.Length)
                return done + got;
            done += part.Length;
        }
        return done;
    }
}
