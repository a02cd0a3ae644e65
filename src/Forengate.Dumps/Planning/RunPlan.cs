using Forengate.Memory;
using static Forengate.Dumps.RangeSets;

namespace Forengate.Dumps;

/// <summary>
/// The physical memory runs of a dump: what the hypervisor and Windows both call memory, and what only the hypervisor does when it is too much, or lies too high, for a firmware's own. What only one of
/// them says is told, not hidden.
/// </summary>
internal sealed class RunPlan
{
    /// <summary>Memory that Windows does not use is a module plugged in from here on, in bytes: firmware keeps less in one piece.</summary>
    private const ulong FirmwareAtMost = 64UL << 20;

    /// <summary>Firmware keeps its memory below 4 GiB. What Windows does not use of the pages above, in bytes, is a module from here on.</summary>
    private const ulong AboveFirmware = 4UL << 30, OddPagesAtMost = 1UL << 20;

    private const int Named = 4;

    private RunPlan(List<CrashDumpRun> runs, IReadOnlyList<PhysicalRange> wanted, IReadOnlyList<PhysicalRange> filled, List<string> notes, List<string> disagreements, List<string> gaps)
        => (Runs, Wanted, Filled, Notes, Disagreements, Gaps) = (runs, wanted, filled, notes, disagreements, gaps);

    public IReadOnlyList<CrashDumpRun> Runs { get; }

    /// <summary>The pages of <see cref="Runs"/> that the guest has; the view should have bytes for each.</summary>
    public IReadOnlyList<PhysicalRange> Wanted { get; }

    /// <summary>The pages of <see cref="Runs"/> that are no memory: holes between runs that a header has no room to keep apart, and what the guest gave back.</summary>
    public IReadOnlyList<PhysicalRange> Filled { get; }

    public IReadOnlyList<string> Notes { get; }

    public IReadOnlyList<string> Disagreements { get; }

    /// <summary>Memory the dump should hold and does not.</summary>
    public IReadOnlyList<string> Gaps { get; }

    /// <param name="view">Ranges of the view: what the hypervisor says. Sorted, disjoint, on page boundaries.</param>
    /// <param name="windows">Windows' own memory block; null where it was not found.</param>
    /// <param name="kind">A bitmap dump can say which pages of a run it lacks: its runs are all that Windows calls memory.</param>
    /// <param name="ballooned">Of the view's ranges what the guest does not have, by the hypervisor's word.</param>
    public static RunPlan Make(IReadOnlyList<PhysicalRange> view, IReadOnlyList<PhysicalRange>? windows, DumpKind kind = DumpKind.Full, IReadOnlyList<PhysicalRange>? ballooned = null)
    {
        ballooned ??= [];
        var (notes, disagreements, gaps) = (new List<string>(), new List<string>(), new List<string>());
        IReadOnlyList<PhysicalRange> memory;
        var has = ballooned.Count == 0 ? view : Subtract(view, ballooned);
        var block = Normalize(windows ?? []);
        if (block.Count == 0)
        {
            memory = has;
            notes.Add("Windows' own list of memory (MmPhysicalMemoryBlock) was not found: the runs are the hypervisor's");
        }
        else
        {
            memory = Intersect(view, block);
            var given = Intersect(ballooned, block);
            if (given.Count > 0)
                disagreements.Add($"Windows counts {Describe(given)} as memory that the hypervisor says it gave back: in the dump as zeros");
            var lacking = Subtract(block, view);
            if (lacking.Count > 0)
            {
                var text = $"Windows counts {Describe(lacking)} as memory, which this view does not hold";
                disagreements.Add(text);
                gaps.Add(text);
            }
            if (memory.Count == 0 && has.Count > 0)
            {
                memory = has;
                disagreements.Add("nothing is memory both to Windows and to the hypervisor: the runs are the hypervisor's");
            }
            else
            {
                if (lacking.Count > 0 && block.Count <= CrashDumpLayout64.MaxRuns && (kind != DumpKind.Full || memory.Count > CrashDumpLayout64.MaxRuns))
                {
                    // A view full of holes (a kernel dump's) makes more pieces than a header holds: better the memory as Windows knows it, with holes in it.
                    memory = block;
                }
                memory = Unite(memory, Unused(Subtract(has, block), notes, disagreements));
            }
        }

        var runs = memory.Where(range => range.PageCount > 0).Select(range => new CrashDumpRun(range.Start.Frame, range.PageCount)).ToList();
        var pieces = runs.Count;
        // Firmware's pages in such a hole are as they are.
        var zeros = Subtract(MergeToFit(runs), has);
        if (runs.Count < pieces)
        {
            disagreements.Add(
                $"memory is in {pieces} pieces, more than the {CrashDumpLayout64.MaxRuns} a header holds: {Pages(zeros)} pages of holes between them are in the dump as zeros ({Describe(zeros)}); "
                + "a bitmap dump says which pages are no memory");
        }
        return new RunPlan(runs, Subtract(memory, ballooned), Unite(zeros, Intersect(ballooned, memory)), notes, disagreements, gaps);
    }

    /// <summary>What Windows does not use: firmware's is left out, as Windows does; a module's is memory all the same.</summary>
    private static List<PhysicalRange> Unused(List<PhysicalRange> unused, List<string> notes, List<string> disagreements)
    {
        bool IsModule(PhysicalRange range) => range.Length >= FirmwareAtMost || (range.Start.Value >= AboveFirmware && range.Length >= OddPagesAtMost);
        var (modules, firmware) = (unused.Where(IsModule).ToList(), unused.Where(range => !IsModule(range)).ToList());
        if (modules.Count > 0)
            disagreements.Add($"the machine has {Describe(modules)} that Windows does not use (plugged in later, not accepted yet, or given up): in the dump all the same");
        if (firmware.Count > 0)
            notes.Add($"left out as Windows does: {Describe(firmware)}, kept by firmware");
        return modules;
    }

    /// <summary>The header has room for 42 runs: beyond that the smallest holes become part of a run.</summary>
    /// <returns>Those holes.</returns>
    private static List<PhysicalRange> MergeToFit(List<CrashDumpRun> runs)
    {
        var (holes, pieces) = (new List<PhysicalRange>(), runs.Count);
        if (pieces > CrashDumpLayout64.MaxRuns)
        {
            var filled = Enumerable.Range(0, pieces - 1).OrderBy(i => Hole(runs, i).PageCount).ThenBy(i => i).Take(pieces - CrashDumpLayout64.MaxRuns).ToHashSet();
            var merged = new List<CrashDumpRun>();
            for (var i = 0; i < pieces; i++)
            {
                if (i > 0 && filled.Contains(i - 1))
                {
                    holes.Add(Hole(runs, i - 1));
                    merged[^1] = merged[^1] with { PageCount = runs[i].BasePage + runs[i].PageCount - merged[^1].BasePage };
                }
                else
                {
                    merged.Add(runs[i]);
                }
            }
            runs.Clear();
            runs.AddRange(merged);
        }
        return holes;
    }

    private static PhysicalRange Hole(List<CrashDumpRun> runs, int i)
    {
        var start = runs[i].BasePage + runs[i].PageCount;
        return new PhysicalRange(PhysicalAddress.FromFrame(start), (runs[i + 1].BasePage - start) << Page.Shift);
    }

    private static string Describe(List<PhysicalRange> ranges)
    {
        const ulong MiB = 1UL << 20;
        var pages = Pages(ranges);
        var size = pages << Page.Shift >= MiB ? $"{pages << Page.Shift >> 20} MiB ({pages} pages)" : $"{pages} pages";
        var text = string.Join(", ", ranges.Take(Named));
        return $"{size} at {text}{(ranges.Count > Named ? $" and {ranges.Count - Named} more ranges" : "")}";
    }
}
