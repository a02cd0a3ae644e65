namespace Forengate.Memory.Tests;

/// <summary>Memory made by hand, page by page. Hands out no spans unless told to, like a live guest; then only page by page, so that every page edge is a seam.</summary>
internal sealed class TestMemory(IReadOnlyList<PhysicalRange> ranges, bool maps = false) : PhysicalMemory
{
    private readonly Dictionary<ulong, byte[]> _pages = [];
    private readonly Dictionary<ulong, PageState> _states = [];

    public int ReadPagesCalls { get; private set; }

    public int PagesRead { get; private set; }

    public int Reads { get; private set; }

    public override IReadOnlyList<PhysicalRange> Ranges => ranges;

    public static TestMemory OfSize(ulong size, bool maps = false) => new([new PhysicalRange(default, size)], maps);

    public byte[] PageAt(ulong address)
    {
        var frame = address >> Page.Shift;
        if (!_pages.TryGetValue(frame, out var page))
        {
            _pages[frame] = page = new byte[Page.Size];
            _states[frame] = PageState.Present;
        }
        return page;
    }

    public void SetState(ulong address, PageState state) => _states[address >> Page.Shift] = state;

    public void Write(ulong address, ReadOnlySpan<byte> bytes)
    {
        for (var i = 0; i < bytes.Length; i++)
            PageAt(address + (ulong)i)[(address + (ulong)i) & Page.OffsetMask] = bytes[i];
    }

    public void WriteEntry(ulong table, int slot, ulong entry) => BitConverter.TryWriteBytes(PageAt(table).AsSpan(slot * 8), entry);

    public override PageState StateOf(PhysicalAddress address) => _states.GetValueOrDefault(address.Frame, PageState.Missing);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        Reads++;
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var count = Math.Min(Page.Size - here.PageOffset, destination.Length - done);
            var state = StateOf(here);
            if (state == PageState.Present)
                _pages[here.Frame].AsSpan(here.PageOffset, count).CopyTo(destination[done..]);
            else if (state == PageState.Zero)
                destination.Slice(done, count).Clear();
            else
                break;
            done += count;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) =>
        maps && StateOf(address) == PageState.Present
            ? _pages[address.Frame].AsSpan(address.PageOffset, Math.Min(maxLength, Page.Size - address.PageOffset))
            : default;

    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        ReadPagesCalls++;
        PagesRead += pages.Length;
        return base.ReadPages(pages, destination, states);
    }
}
