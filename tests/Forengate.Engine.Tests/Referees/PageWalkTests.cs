using System.Globalization;
using System.Text.Json.Nodes;
using Forengate.Lab.Machine;
using Forengate.Memory;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Referees;

/// <summary>Our page walks against QEMU's own on the same stopped twin, and against the truth.</summary>
public sealed class PageWalkTests
{
    private const int AddressesEachCpu = 400;

    public static TheoryData<string, int> Families => new()
    {
        { "7601", 4 }, { "9600", 4 }, { "14393", 4 }, { "17763", 4 }, { "19041", 4 }, { "20348", 4 }, { "22000", 4 }, { "20348", 5 }, { "22000", 5 },
    };

    [Theory, MemberData(nameof(Families))]
    public void More_than_a_thousand_addresses_lead_where_QEMU_says(string family, int levels)
    {
        using var twin = TwinGuest.Start(Image(family, levels));
        var cpus = twin.StopAndReadRegisters();
        using var examination = Examination.Open(twin.Target, new TargetOptions(), null, TestContext.Current.CancellationToken);
        using var monitor = twin.Machine.OpenMonitor();
        var differences = new Differences();
        var (large, small, holes, user, asked) = (0, 0, 0, 0, 0);
        foreach (var cpu in cpus)
        {
            var space = new AddressSpace(examination.View.Memory, cpu["CR3"], levels);
            foreach (var address in AddressesFor(twin.Truth, space.DirectoryTableBase.Value))
            {
                var ours = space.Translate(new VirtualAddress(address));
                differences.Expect($"CPU {cpu.Index} 0x{address:x}", AskQemu(monitor, cpu.Index, address), ours.Ok ? ours.Address.Value : null);
                asked++;
                large += ours is { Ok: true, PageSize: > Page.Size } ? 1 : 0;
                small += ours is { Ok: true, PageSize: Page.Size } ? 1 : 0;
                holes += ours.Ok ? 0 : 1;
                user += ours.Ok && !new VirtualAddress(address).IsKernel ? 1 : 0;
            }
        }
        differences.AssertNone();
        Assert.True(asked > 1000 && large > 0 && small > 0 && holes > 0 && user > 0, $"{asked} asked: {large} large, {small} small, {holes} holes, {user} user");
    }

    [Theory, MemberData(nameof(Families))]
    public void Every_table_of_the_truth_is_walked_as_it_was_written(string family, int levels)
    {
        using var twin = TwinGuest.Start(Image(family, levels));
        twin.StopAndReadRegisters();
        using var examination = Examination.Open(twin.Target, new TargetOptions(), null, TestContext.Current.CancellationToken);
        var differences = new Differences();
        foreach (var expected in twin.Truth.Translations)
        {
            var ours = new AddressSpace(examination.View.Memory, expected.Root, levels).Translate(new VirtualAddress(expected.Va));
            differences.Expect($"0x{expected.Root:x}: 0x{expected.Va:x}", expected.Pa, ours.Ok ? ours.Address.Value : null);
            if (expected.PageSize is not null)
                differences.Expect($"0x{expected.Root:x}: size of the page at 0x{expected.Va:x}", expected.PageSize, ours.PageSize);
        }
        differences.AssertNone();
        Assert.True(twin.Truth.Translations.Count > 1000);
    }

    private static string Image(string family, int levels) =>
        TwinImages.Get("--build", family, "--levels", levels.ToString(CultureInfo.InvariantCulture), "--cpus", "3", "--cpu-modes", "mixed", "--memory", "128", "--low-memory", "64");

    /// <summary>The process's own addresses, then an even sample of all others: what is mapped elsewhere may be a hole here.</summary>
    private static IEnumerable<ulong> AddressesFor(TwinTruth truth, ulong root)
    {
        var own = truth.Translations.Where(translation => (translation.Root & ~0xFFFUL) == root).Select(translation => translation.Va).Distinct().Take(AddressesEachCpu / 2).ToList();
        var others = truth.Translations.Select(translation => translation.Va).Distinct().Except(own).ToList();
        var wanted = AddressesEachCpu - own.Count;
        return own.Concat(Enumerable.Range(0, wanted).Select(i => others[(int)((long)i * others.Count / wanted)]).Distinct());
    }

    private static ulong? AskQemu(QmpClient monitor, int cpu, ulong address)
    {
        var answer = monitor.Execute("human-monitor-command", new JsonObject { ["command-line"] = $"gva2gpa 0x{address:x}", ["cpu-index"] = cpu }).GetString()!.Trim();
        if (answer == "Unmapped")
            return null;
        Assert.StartsWith("gpa: 0x", answer, StringComparison.Ordinal);
        return ulong.Parse(answer.AsSpan("gpa: 0x".Length), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
    }
}
