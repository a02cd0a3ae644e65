using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>Which of the pages that there are a dump holds, and what the others are.</summary>
/// <param name="Stored">Ascending, merged where they touch.</param>
/// <param name="LeftOut">What was left out, by what it is; without those there are none of.</param>
internal sealed record PageSelection(IReadOnlyList<CrashDumpRun> Stored, IReadOnlyList<LeftOutPages> LeftOut)
{
    public ulong PageCount => Stored.Aggregate(0UL, (sum, run) => sum + run.PageCount);

    /// <summary>Entries of the page frame database looked at in one go.</summary>
    private const int Batch = 1 << 16;

    /// <summary>
    /// All but what Windows itself has on its lists of zeroed, free and standby pages: nothing there, nothing any more, and what can be read from disk again. All else is the only copy of
    /// something (modified, in transition), in use, or of a page that nothing is known of, and stays.
    /// </summary>
    /// <param name="held">The pages that there are.</param>
    /// <param name="database">Windows' record of its pages.</param>
    /// <param name="needed">Pages that stay whatever it says of them.</param>
    public static PageSelection Active(IReadOnlyList<CrashDumpRun> held, PageFrameDatabase database, IReadOnlySet<ulong> needed)
    {
        var stored = new List<CrashDumpRun>();
        var counts = new ulong[byte.MaxValue + 1];
        var locations = new PageLocation[Batch];
        foreach (var run in held)
        {
            for (var done = 0UL; done < run.PageCount; done += Batch)
            {
                var part = locations.AsSpan(0, (int)Math.Min(Batch, run.PageCount - done));
                var first = run.BasePage + done;
                database.Read(first, part);
                for (var i = 0; i < part.Length; i++)
                {
                    var frame = first + (ulong)i;
                    if (part[i] is PageLocation.Zeroed or PageLocation.Free or PageLocation.Standby && !needed.Contains(frame))
                        counts[(byte)part[i]]++;
                    else
                        Append(stored, frame, 1);
                }
            }
        }
        return new PageSelection(
            stored,
            [.. new[] { PageLocation.Zeroed, PageLocation.Free, PageLocation.Standby }.Where(location => counts[(byte)location] != 0)
                .Select(location => new LeftOutPages(location.ToString().ToLowerInvariant(), counts[(byte)location]))]);
    }

    /// <summary>Those that are in a set.</summary>
    /// <param name="held">The pages that there are.</param>
    /// <param name="wanted">The ones to hold.</param>
    /// <param name="needed">Pages that are held beside them.</param>
    /// <param name="others">What all others are.</param>
    public static PageSelection Of(IReadOnlyList<CrashDumpRun> held, PageSet wanted, IReadOnlySet<ulong> needed, string others)
    {
        foreach (var frame in needed)
            wanted.Add(frame);
        var stored = new List<CrashDumpRun>();
        var left = 0UL;
        foreach (var run in held)
        {
            for (var frame = run.BasePage; frame < run.BasePage + run.PageCount;)
            {
                var alike = wanted.AlikeFrom(frame, run.BasePage + run.PageCount - frame);
                if (wanted.Contains(frame))
                    Append(stored, frame, alike);
                else
                    left += alike;
                frame += alike;
            }
        }
        return new PageSelection(stored, left == 0 ? [] : [new LeftOutPages(others, left)]);
    }

    private static void Append(List<CrashDumpRun> runs, ulong frame, ulong pages)
    {
        if (runs.Count > 0 && runs[^1] is var last && last.BasePage + last.PageCount == frame)
            runs[^1] = last with { PageCount = last.PageCount + pages };
        else
            runs.Add(new CrashDumpRun(frame, pages));
    }
}
