using System.Globalization;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>What a view is, told in the same form as what was found in it.</summary>
public static class ViewFacts
{
    /// <summary>A kernel dump's memory is in thousands of pieces.</summary>
    private const int RangesNamed = 64;

    /// <summary>Format, ranges, CPUs, consistency: in the order a person asks.</summary>
    /// <param name="view">The view.</param>
    /// <param name="cpus">Its CPUs, or those that its memory keeps (<see cref="Examination.Cpus"/>); null: the view's.</param>
    public static IEnumerable<Fact> Of(View view, IReadOnlyList<CpuState>? cpus = null)
    {
        cpus ??= view.Cpus;
        var origin = view.Origin;
        yield return new Fact("target", origin.Target, origin.Format);
        if (origin.Producer is { } producer)
            yield return new Fact("producer", producer, origin.Format);
        if (origin.TakenAt is { } taken)
            yield return new Fact("taken", taken.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) + " UTC", origin.Format);
        yield return new Fact("consistency", ConsistencyName(view.Consistency.Level), view.Consistency.Reason);
        yield return new Fact("memory", $"{view.Memory.Size >> 20} MiB in {view.Memory.Ranges.Count} range(s)", "sum of the ranges");
        foreach (var range in view.Memory.Ranges.Take(RangesNamed))
            yield return new Fact("range", range.ToString(), $"{range.PageCount} pages");
        if (view.Memory.Ranges.Count > RangesNamed)
            yield return new Fact("ranges", $"{view.Memory.Ranges.Count - RangesNamed} more", "--output json lists all");
        yield return cpus.Count == 0
            ? new Fact("CPUs", null, "the source has no registers")
            : new Fact("CPUs", cpus.Count.ToString(CultureInfo.InvariantCulture), cpus[0].Source ?? origin.Format);
        foreach (var cpu in cpus)
            yield return new Fact($"CPU {cpu.Index}", Summary(cpu), Privilege(cpu));
    }

    public static string ConsistencyName(ConsistencyLevel level) => level switch
    {
        ConsistencyLevel.Instant => "one instant",
        ConsistencyLevel.MemoryOnly => "memory of one instant",
        ConsistencyLevel.Smeared => "smeared",
        _ => "unknown",
    };

    private static string Summary(CpuState cpu) =>
        $"rip {Hex(cpu.Rip)} rsp {Hex(cpu.Rsp)} cr3 {Hex(cpu.Cr3)} gs {Hex(cpu.Gs?.Base)} kernel gs {Hex(cpu.KernelGsBase)}";

    private static string Hex(ulong? value) => value is { } known ? $"0x{known:x}" : "unknown";

    private static string Privilege(CpuState cpu) => cpu.Cpl switch
    {
        null => "privilege unknown",
        3 => "user mode",
        var level => $"ring {level}",
    };
}
