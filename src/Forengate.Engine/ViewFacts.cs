using System.Globalization;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>What a view is, told in the same form as what was found in it.</summary>
public static class ViewFacts
{
    /// <summary>A memory in pieces has more than anyone reads.</summary>
    private const int RangesNamed = 32;

    /// <summary>Format, producer, consistency, memory, blocks, CPUs, damage: in the order a person asks.</summary>
    /// <param name="view">May be closed.</param>
    /// <param name="survey">Its memory, looked at while it was open.</param>
    /// <param name="cpus">Its CPUs, or those that its memory keeps (<see cref="Examination.Cpus"/>); null: the view's.</param>
    public static IEnumerable<Fact> Of(View view, MemorySurvey survey, IReadOnlyList<CpuState>? cpus = null)
    {
        cpus ??= view.Cpus;
        var origin = view.Origin;
        yield return new Fact("target", origin.Target, origin.Format);
        if (origin.Producer is { } producer)
            yield return new Fact("producer", producer, origin.Format);
        if (origin.GuestName is { } name)
            yield return new Fact("guest", name, origin.Format);
        if (origin.Machine is { } machine)
            yield return new Fact("machine", machine, origin.Format);
        if (origin.TakenAt is { } taken)
            yield return new Fact("taken", taken.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) + " UTC", origin.Format);
        yield return new Fact("consistency", ConsistencyName(view.Consistency.Level), view.Consistency.Reason);
        if (origin.Smear is { } smear)
            yield return new Fact("smear", smear.LevelName, smear.ToString());
        foreach (var fact in OfMemory(view, survey))
            yield return fact;
        foreach (var block in origin.Blocks)
            yield return new Fact("block", $"{block.Name}, {block.Length >> 10} KiB" + (block.Ranges.Count == 0 ? "" : $" at {string.Join(", ", block.Ranges.Take(RangesNamed))}"), block.PlacedBy);
        yield return cpus.Count == 0
            ? new Fact("CPUs", null, "the source has no registers")
            : new Fact("CPUs", cpus.Count.ToString(CultureInfo.InvariantCulture), cpus[0].Source ?? origin.Format);
        foreach (var cpu in cpus)
            yield return new Fact($"CPU {cpu.Index}", Summary(cpu), Privilege(cpu));
        foreach (var group in cpus.GroupBy(cpu => string.Join(", ", CpuRegisterGroups.Unknown(cpu))))
        {
            var which = group.Count() == cpus.Count ? "every CPU" : $"CPU {string.Join(", ", group.Select(cpu => cpu.Index))}";
            yield return new Fact("registers", group.Key.Length == 0 ? "all are known" : $"unknown: {group.Key}", which);
        }
        foreach (var damage in origin.Damage)
            yield return new Fact("damage", damage, "the image is not whole");
    }

    private static IEnumerable<Fact> OfMemory(View view, MemorySurvey survey)
    {
        yield return new Fact("memory", $"{view.Memory.Size >> 20} MiB in {view.Memory.Ranges.Count} range(s)", "sum of the ranges");
        foreach (var range in view.Memory.Ranges.Take(RangesNamed))
            yield return new Fact("range", range.ToString(), $"{range.PageCount} pages");
        if (view.Memory.Ranges.Count > RangesNamed)
            yield return new Fact("range", $"and {view.Memory.Ranges.Count - RangesNamed} more", "--output json has all");
        yield return new Fact(
            "pages",
            string.Join(", ", new[] { ("present", survey.Present), ("zero", survey.Zero), ("missing", survey.Missing), ("ballooned", survey.Ballooned), ("excluded", survey.Excluded) }
                .Where(part => part.Item2 != 0).Select(part => $"{part.Item2 >> Page.Shift} {part.Item1}")),
            "as the source tells; zeros only where it knows them without a look");
        if (view.Origin.Packing is { } packing)
        {
            yield return new Fact(
                "packing",
                packing + (view.Origin.FileBytes is { } bytes and not 0 ? string.Create(CultureInfo.InvariantCulture, $", memory : file = {(double)view.Memory.Size / bytes:0.##} : 1") : ""),
                view.Origin.FileBytes is { } size ? $"{size >> 10} KiB in the file" : view.Origin.Format);
        }
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
