using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A guest's memory, of which the pages that it gave to a balloon are marked as such: they have no content.</summary>
internal sealed class GivenBackMemory : PhysicalMemory
{
    private readonly IReadOnlyList<PhysicalRange> _given;
    private readonly ulong[] _starts;

    private GivenBackMemory(PhysicalMemory below, IReadOnlyList<PhysicalRange> given)
    {
        Below = below;
        _given = given;
        _starts = [.. given.Select(range => range.Start.Value)];
    }

    /// <summary>What is marked.</summary>
    public PhysicalMemory Below { get; }

    public override IReadOnlyList<PhysicalRange> Ranges => Below.Ranges;

    public override bool MayChange => Below.MayChange;

    /// <summary>Marks pages, and says how many.</summary>
    /// <param name="below">Owned by the result.</param>
    /// <param name="given">Sorted and disjoint; null where the host did not tell.</param>
    /// <param name="remarks">Get a line.</param>
    public static PhysicalMemory Over(PhysicalMemory below, IReadOnlyList<PhysicalRange>? given, List<string> remarks)
    {
        if (given is null)
        {
            remarks.Add("the balloon's pages are not marked: the host does not tell which pages it has nothing for (huge pages, a private file, or pages that are still to arrive); they read as zeros");
            return below;
        }
        var pages = given.Aggregate(0UL, (sum, range) => sum + range.PageCount);
        remarks.Add(string.Create(
            CultureInfo.InvariantCulture,
            $"{pages << Page.Shift >> 20} MiB for which the host has no pages are marked as ballooned: the balloon's, and what the guest never touched"));
        return given.Count == 0 ? below : new GivenBackMemory(below, given);
    }

    /// <summary>Whether a page is marked, and how far that, or the contrary, lasts.</summary>
    private bool IsGiven(PhysicalAddress address, out PhysicalAddress end)
    {
        var at = Array.BinarySearch(_starts, address.Value);
        if (at < 0)
            at = ~at - 1;
        if (at >= 0 && address < _given[at].End)
        {
            end = _given[at].End;
            return true;
        }
        end = at + 1 < _given.Count ? _given[at + 1].Start : new PhysicalAddress(ulong.MaxValue);
        return false;
    }

    public override PageState StateOf(PhysicalAddress address) => IsGiven(address, out _) ? PageState.Ballooned : Below.StateOf(address);

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var start = address.PageStart;
        var most = (Math.Max(maxLength, 1) + Page.OffsetMask) & ~Page.OffsetMask;
        var given = IsGiven(start, out var end);
        var length = Math.Min(most, end - start);
        return given ? new PageRun(new PhysicalRange(start, length), PageState.Ballooned) : Below.RunAt(start, length);
    }

    public override void Prefetch(PhysicalAddress address, ulong length) => Below.Prefetch(address, length);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        if (IsGiven(address, out var end))
            return 0;
        return Below.Read(address, destination[..(int)Math.Min((ulong)destination.Length, end - address)]);
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) =>
        maxLength <= 0 || IsGiven(address, out var end) ? default : Below.Map(address, (int)Math.Min((ulong)maxLength, end - address));

    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        var readable = Below.ReadPages(pages, destination, states);
        for (var i = 0; i < pages.Length; i++)
        {
            if (!IsGiven(pages[i], out _))
                continue;
            readable -= states[i] is PageState.Present or PageState.Zero ? 1 : 0;
            states[i] = PageState.Ballooned;
            destination.Slice(i * Page.Size, Page.Size).Clear();
        }
        return readable;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            Below.Dispose();
        base.Dispose(disposing);
    }
}
