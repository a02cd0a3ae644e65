using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>The pages of a dump that differ from the guest's, whole and in order.</summary>
internal sealed class PatchedPages
{
    private readonly ulong[] _frames;
    private readonly byte[][] _pages;

    /// <param name="memory">The guest's own bytes.</param>
    /// <param name="patches">Laid over them in their order.</param>
    public PatchedPages(PhysicalMemory memory, IReadOnlyList<DumpPatch> patches)
    {
        var pages = new SortedDictionary<ulong, byte[]>();
        foreach (var patch in patches)
        {
            if (!pages.TryGetValue(patch.Address.Frame, out var page))
            {
                page = new byte[Page.Size];
                memory.Read(patch.Address.PageStart, page);
                pages.Add(patch.Address.Frame, page);
            }
            patch.Bytes.Span.CopyTo(page.AsSpan(patch.Address.PageOffset));
        }
        (_frames, _pages) = ([.. pages.Keys], [.. pages.Values]);
    }

    /// <summary>The first patched page at or behind a frame; null where there is none.</summary>
    public (ulong Frame, byte[] Page)? NextFrom(ulong frame)
    {
        var at = Array.BinarySearch(_frames, frame);
        if (at < 0)
            at = ~at;
        return at < _frames.Length ? (_frames[at], _pages[at]) : null;
    }
}
