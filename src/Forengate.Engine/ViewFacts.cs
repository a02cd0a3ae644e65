using System.Globalization;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>What a view is, told in the same form as what was found in it.</summary>
public static class ViewFacts
{
    /// <summary>Format, ranges, CPUs, consistency: in the order a person asks.</summary>
    public static IEnumerable<Fact> Of(View view)
    {
        var origin = view.Origin;
        yield return new Fact("target", origin.Target, origin.Format);
        if (origin.Producer is { } producer)
            yield return new Fact("producer", producer, origin.Format);
        if (origin.TakenAt is { } taken)
            yield return new Fact("taken", taken.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) + " UTC", origin.Format);
        yield return new Fact("consistency", ConsistencyName(view.Consistency.Level), view.Consistency.Reason);
        yield return new Fact("memory", $"{view.Memory.Size >> 20} MiB in {view.Memory.Ranges.Count} range(s)", "sum of the ranges");
        foreach (var range in view.Memory.Ranges)
            yield return new Fact("range", range.ToString(), $"{range.PageCount} pages");
        yield return view.Cpus.Count == 0
            ? new Fact("CPUs", null, "the source has no registers")
            : new Fact("CPUs", view.Cpus.Count.ToString(CultureInfo.InvariantCulture), view.Cpus[0].Source ?? origin.Format);
        foreach (var cpu in view.Cpus)
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
