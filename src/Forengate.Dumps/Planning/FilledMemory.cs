using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>A memory whose holes are zeros: what a run of a dump takes in though the guest has nothing there.</summary>
/// <param name="below">Not owned.</param>
/// <param name="filled">The holes: ascending and disjoint.</param>
internal sealed class FilledMemory(PhysicalMemory below, IReadOnlyList<PhysicalRange> filled) : PhysicalMemory
{
    public static PhysicalMemory Over(PhysicalMemory below, IReadOnlyList<PhysicalRange> filled) => filled.Count == 0 ? below : new FilledMemory(below, filled);

    public override IReadOnlyList<PhysicalRange> Ranges { get; } = RangeSets.Unite(below.Ranges, filled);

    public override PageState StateOf(PhysicalAddress address) => At(address) is not null ? PageState.Zero : below.StateOf(address);

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var start = address.PageStart;
        if (At(start) is { } hole)
            return new PageRun(new PhysicalRange(start, Math.Min(hole.End - start, Math.Max(Page.Size, (maxLength + Page.OffsetMask) & ~Page.OffsetMask))), PageState.Zero);
        var run = below.RunAt(address, maxLength);
        return Next(start) is { } next && next.Start < run.Range.End ? run with { Range = run.Range with { Length = next.Start - start } } : run;
    }

    public override void Prefetch(PhysicalAddress address, ulong length) => below.Prefetch(address, length);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var part = destination[done..];
            if (At(here) is { } hole)
            {
                var count = (int)Math.Min((ulong)part.Length, hole.End - here);
                part[..count].Clear();
                done += count;
                continue;
            }
            var most = Next(here) is { } next ? (int)Math.Min((ulong)part.Length, next.Start - here) : part.Length;
            var got = below.Read(here, part[..most]);
            done += got;
            if (got < most)
                break;
        }
        return done;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        if (maxLength <= 0 || At(address) is not null)
            return default;
        return below.Map(address, Next(address) is { } next ? (int)Math.Min((ulong)maxLength, next.Start - address) : maxLength);
    }

    private PhysicalRange? At(PhysicalAddress address) => Index(address) is >= 0 and var i && filled[i].Contains(address) ? filled[i] : null;

    /// <summary>The first hole behind an address that lies in none.</summary>
    private PhysicalRange? Next(PhysicalAddress address) => Index(address) + 1 is var i && i < filled.Count ? filled[i] : null;

    /// <summary>Of the last hole that begins at or before an address; -1: there is none.</summary>
    private int Index(PhysicalAddress address)
    {
        int low = 0, high = filled.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (filled[middle].Start <= address)
                low = middle + 1;
            else
                high = middle;
        }
        return low - 1;
    }
}
