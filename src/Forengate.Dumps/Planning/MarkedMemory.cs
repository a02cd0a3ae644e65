using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>Another memory in which some pages hold a marker instead of their bytes. Pages that have no bytes below have none here.</summary>
/// <param name="below">Not owned.</param>
/// <param name="marked">Which pages; not to be changed any more.</param>
internal sealed class MarkedMemory(PhysicalMemory below, PageSet marked) : PhysicalMemory
{
    private static readonly byte[] s_page = MakePage();

    /// <summary>What an overwritten page is full of: 16 ASCII characters, over and over.</summary>
    public static ReadOnlySpan<byte> Marker => "excluded content"u8;

    public override IReadOnlyList<PhysicalRange> Ranges => below.Ranges;

    public override bool MayChange => below.MayChange;

    public override PageState StateOf(PhysicalAddress address) => Shown(address.Frame, below.StateOf(address));

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var run = below.RunAt(address, maxLength);
        var frame = run.Range.Start.Frame;
        var alike = marked.AlikeFrom(frame, Math.Max(1, run.Range.PageCount)) << Page.Shift;
        return new PageRun(run.Range with { Length = Math.Min(alike, run.Range.Length) }, Shown(frame, run.State));
    }

    public override void Prefetch(PhysicalAddress address, ulong length) => below.Prefetch(address, length);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var part = destination[done..];
            var alike = (int)Math.Min(Alike(here, part.Length), (ulong)part.Length);
            if (!marked.Contains(here.Frame))
            {
                var got = below.Read(here, part[..alike]);
                done += got;
                if (got < alike)
                    break;
                continue;
            }
            if (!IsReadable(below.StateOf(here)))
                break;
            var count = Math.Min(alike, Page.Size - here.PageOffset);
            s_page.AsSpan(here.PageOffset, count).CopyTo(part);
            done += count;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        if (maxLength <= 0)
            return default;
        if (!marked.Contains(address.Frame))
            return below.Map(address, (int)Math.Min(Alike(address, maxLength), (ulong)maxLength));
        return IsReadable(below.StateOf(address)) ? s_page.AsSpan(address.PageOffset, Math.Min(maxLength, Page.Size - address.PageOffset)) : default;
    }

    /// <summary>Bytes from an address on whose pages are all marked, or all not.</summary>
    private ulong Alike(PhysicalAddress address, int length) =>
        (marked.AlikeFrom(address.Frame, (((ulong)address.PageOffset + (ulong)length - 1) >> Page.Shift) + 1) << Page.Shift) - (ulong)address.PageOffset;

    private PageState Shown(ulong frame, PageState state) => marked.Contains(frame) && IsReadable(state) ? PageState.Present : state;

    private static bool IsReadable(PageState state) => state is PageState.Present or PageState.Zero;

    private static byte[] MakePage()
    {
        var page = new byte[Page.Size];
        for (var at = 0; at < page.Length; at += Marker.Length)
            Marker.CopyTo(page.AsSpan(at));
        return page;
    }
}
