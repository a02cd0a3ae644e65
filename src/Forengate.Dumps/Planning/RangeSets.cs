using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>Sets of physical memory as ranges: what comes out is ascending, disjoint and of whole pages, as what goes in must be.</summary>
internal static class RangeSets
{
    /// <summary>Sorted, whole pages, without overlaps; guest memory listed them, so nothing is believed.</summary>
    public static List<PhysicalRange> Normalize(IReadOnlyList<PhysicalRange> ranges)
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

    public static List<PhysicalRange> Intersect(IReadOnlyList<PhysicalRange> a, IReadOnlyList<PhysicalRange> b)
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

    public static List<PhysicalRange> Subtract(IReadOnlyList<PhysicalRange> from, IReadOnlyList<PhysicalRange> what)
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

    /// <summary>What is in one or the other, merged where it touches.</summary>
    public static List<PhysicalRange> Unite(IReadOnlyList<PhysicalRange> a, IReadOnlyList<PhysicalRange> b) => Normalize([.. a, .. b]);

    public static ulong Pages(IEnumerable<PhysicalRange> ranges) => ranges.Aggregate(0UL, (sum, range) => sum + range.PageCount);

    /// <summary>The pages of a memory that its guest does not have, though it could: a balloon's, or blocks that are not plugged.</summary>
    public static List<PhysicalRange> Ballooned(PhysicalMemory memory)
    {
        var result = new List<PhysicalRange>();
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End;)
            {
                var run = memory.RunAt(at, range.End - at);
                var length = Math.Min(run.Range.End - at, range.End - at);
                if (run.State == PageState.Ballooned && result.Count > 0 && result[^1].End == at)
                    result[^1] = result[^1] with { Length = result[^1].Length + length };
                else if (run.State == PageState.Ballooned)
                    result.Add(new PhysicalRange(at, length));
                at += length;
            }
        }
        return result;
    }
}
