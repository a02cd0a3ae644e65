using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>
/// The physical memory runs of a dump: what the hypervisor and Windows both call memory. What only one of them says is told, not hidden.
/// </summary>
internal sealed class RunPlan
{
    /// <summary>Memory that Windows does not use is worth a disagreement from here on: firmware keeps less in one piece, modules plugged in later have more.</summary>
    private const ulong FirmwareAtMost = 64UL << 20;

    private const int Named = 4;

    private RunPlan(List<CrashDumpRun> runs, List<string> notes, List<string> disagreements, List<string> gaps)
        => (Runs, Notes, Disagreements, Gaps) = (runs, notes, disagreements, gaps);

    public IReadOnlyList<CrashDumpRun> Runs { get; }

    public IReadOnlyList<string> Notes { get; }

    public IReadOnlyList<string> Disagreements { get; }

    /// <summary>Memory the dump should hold and does not.</summary>
    public IReadOnlyList<string> Gaps { get; }

    /// <param name="view">Ranges of the view: what the hypervisor says. Sorted, disjoint, on page boundaries.</param>
    /// <param name="windows">Windows' own memory block; null where it was not found.</param>
    /// <param name="kind">A bitmap dump can say which pages of a run it lacks: its runs are all that Windows calls memory.</param>
    public static RunPlan Make(IReadOnlyList<PhysicalRange> view, IReadOnlyList<PhysicalRange>? windows, DumpKind kind = DumpKind.Full)
    {
        var (notes, disagreements, gaps) = (new List<string>(), new List<string>(), new List<string>());
        IReadOnlyList<PhysicalRange> both;
        var block = Normalize(windows ?? []);
        if (block.Count == 0)
        {
            both = view;
            notes.Add("Windows' own list of memory (MmPhysicalMemoryBlock) was not found: the runs are the hypervisor's");
        }
        else
        {
            both = Intersect(view, block);
            ReportUnused(Subtract(view, block), notes, disagreements);
            var lacking = Subtract(block, view);
            if (lacking.Count > 0)
            {
                var text = $"Windows counts {Describe(lacking)} as memory, which this view does not hold";
                disagreements.Add(text);
                gaps.Add(text);
            }
            if (both.Count == 0 && view.Count > 0)
            {
                both = view;
                disagreements.Add("nothing is memory both to Windows and to the hypervisor: the runs are the hypervisor's");
            }
            else if (lacking.Count > 0 && block.Count <= CrashDumpLayout64.MaxRuns && (kind != DumpKind.Full || both.Count > CrashDumpLayout64.MaxRuns))
            {
                // A view full of holes (a kernel dump's) makes more pieces than a header holds: better the memory as Windows knows it, with holes in it.
                both = block;
            }
        }

        var runs = both.Where(range => range.PageCount > 0).Select(range => new CrashDumpRun(range.Start.Frame, range.PageCount)).ToList();
        MergeToFit(runs, disagreements);
        return new RunPlan(runs, notes, disagreements, gaps);
    }

    private static void ReportUnused(List<PhysicalRange> unused, List<string> notes, List<string> disagreements)
    {
        var large = unused.Where(range => range.Length >= FirmwareAtMost).ToList();
        var small = unused.Where(range => range.Length < FirmwareAtMost).ToList();
        if (large.Count > 0)
            disagreements.Add($"the machine has {Describe(large)}, which Windows does not count as memory (plugged in later, or not yet accepted): left out");
        if (small.Count > 0)
            notes.Add($"left out as Windows does: {Describe(small)}, kept by firmware");
    }

    /// <summary>The header has room for 42 runs: beyond that the smallest holes become part of a run, filled with zeros.</summary>
    private static void MergeToFit(List<CrashDumpRun> runs, List<string> disagreements)
    {
        var filled = 0UL;
        while (runs.Count > CrashDumpLayout64.MaxRuns)
        {
            var best = 0;
            for (var i = 1; i + 1 < runs.Count; i++)
            {
                if (Hole(runs, i) < Hole(runs, best))
                    best = i;
            }
            filled += Hole(runs, best);
            runs[best] = new CrashDumpRun(runs[best].BasePage, runs[best + 1].BasePage + runs[best + 1].PageCount - runs[best].BasePage);
            runs.RemoveAt(best + 1);
        }
        if (filled > 0)
            disagreements.Add($"memory is in more pieces than the {CrashDumpLayout64.MaxRuns} a header holds: {filled} pages of holes between them are in the dump as zeros");
    }

    private static ulong Hole(List<CrashDumpRun> runs, int i) => runs[i + 1].BasePage - runs[i].BasePage - runs[i].PageCount;

    private static string Describe(List<PhysicalRange> ranges)
    {
        var pages = ranges.Aggregate(0UL, (sum, range) => sum + range.PageCount);
        var text = string.Join(", ", ranges.Take(Named));
        return $"{pages} pages at {text}{(ranges.Count > Named ? $" and {ranges.Count - Named} more ranges" : "")}";
    }

    /// <summary>Sorted, whole pages, without overlaps; guest memory listed them, so nothing is believed.</summary>
    private static List<PhysicalRange> Normalize(IReadOnlyList<PhysicalRange> ranges)
    {
        var result = new List<PhysicalRange>();
        foreach (var range in ranges.Where(range => new CrashDumpRun(range.Start.Frame, range.PageCount).IsPossible).OrderBy(range => range.Start))
        {
            var (start, end) = (range.Start.PageStart, range.Start.PageStart + (range.PageCount << Page.Shift));
            if (result.Count > 0 && start <= result[^1].End)
                result[^1] = new PhysicalRange(result[^1].Start, Math.Max(end.Value, result[^1].End.Value) - result[^1].Start.Value);
            else
                result.Add(new PhysicalRange(start, end - start));
        }
        return result;
    }

    private static List<PhysicalRange> Intersect(IReadOnlyList<PhysicalRange> a, IReadOnlyList<PhysicalRange> b)
    {
        var result = new List<PhysicalRange>();
        for (int i = 0, j = 0; i < a.Count && j < b.Count;)
        {
            var start = Math.Max(a[i].Start.Value, b[j].Start.Value);
            var end = Math.Min(a[i].End.Value, b[j].End.Value);
            if (start < end)
                result.Add(new PhysicalRange(new PhysicalAddress(start), end - start));
            if (a[i].End < b[j].End)
                i++;
            else
                j++;
        }
        return result;
    }

    private static List<PhysicalRange> Subtract(IReadOnlyList<PhysicalRange> from, IReadOnlyList<PhysicalRange> what)
    {
        var result = new List<PhysicalRange>();
        var j = 0;
        foreach (var range in from)
        {
            var at = range.Start;
            while (j < what.Count && what[j].End <= at)
                j++;
            for (var k = j; k < what.Count && what[k].Start < range.End; k++)
            {
                if (what[k].Start > at)
                    result.Add(new PhysicalRange(at, what[k].Start - at));
                if (what[k].End > at)
                    at = what[k].End;
            }
            if (at < range.End)
                result.Add(new PhysicalRange(at, range.End - at));
        }
        return result;
    }
}
