namespace Forengate.Memory;

/// <summary>How much of a memory is what, by page state, and where it can't be read.</summary>
/// <param name="Present">Bytes that the source holds.</param>
/// <param name="Zero">Bytes known to be zero.</param>
/// <param name="Missing">Bytes that should be there and are not.</param>
/// <param name="Ballooned">Bytes the guest gave back.</param>
/// <param name="Excluded">Bytes left out on purpose.</param>
/// <param name="Runs">Neighbouring pages that are alike in being readable, merged over <see cref="PageState.Present"/> and <see cref="PageState.Zero"/>, in ascending order.</param>
public sealed record MemorySurvey(ulong Present, ulong Zero, ulong Missing, ulong Ballooned, ulong Excluded, IReadOnlyList<PageRun> Runs)
{
    private const int RunsBetweenCancellationChecks = 1 << 14;

    /// <summary>Bytes that give bytes.</summary>
    public ulong Readable => Present + Zero;

    /// <summary>Bytes of the memory's ranges.</summary>
    public ulong Size => Present + Zero + Missing + Ballooned + Excluded;

    /// <summary>The runs that give no bytes, each of one state.</summary>
    public IEnumerable<PageRun> Unreadable => Runs.Where(run => !run.IsReadable);

    /// <summary>Steps over all ranges by their runs; no byte of memory is read.</summary>
    /// <param name="memory">What to look at.</param>
    /// <param name="cancellation">Ends the work.</param>
    public static MemorySurvey Of(PhysicalMemory memory, CancellationToken cancellation = default)
    {
        Span<ulong> bytes = stackalloc ulong[(int)PageState.Excluded + 1];
        bytes.Clear();
        var runs = new List<PageRun>();
        var steps = 0;
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End;)
            {
                if (++steps % RunsBetweenCancellationChecks == 0)
                    cancellation.ThrowIfCancellationRequested();
                var run = memory.RunAt(at, range.End - at);
                var length = Math.Min(run.Range.End - at, range.End - at);
                bytes[(int)run.State] += length;
                Add(runs, at, length, run.IsReadable ? PageState.Present : run.State);
                at += length;
            }
        }
        return new MemorySurvey(
            bytes[(int)PageState.Present], bytes[(int)PageState.Zero], bytes[(int)PageState.Missing], bytes[(int)PageState.Ballooned], bytes[(int)PageState.Excluded], runs);
    }

    private static void Add(List<PageRun> runs, PhysicalAddress start, ulong length, PageState state)
    {
        if (runs.Count != 0 && runs[^1].State == state && runs[^1].Range.End == start)
            runs[^1] = runs[^1] with { Range = new PhysicalRange(runs[^1].Range.Start, runs[^1].Range.Length + length) };
        else
            runs.Add(new PageRun(new PhysicalRange(start, length), state));
    }
}
