using System.Globalization;
using System.Text.Json.Nodes;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Truth;

namespace Forengate.Lab.Tests.Image;

public sealed class RunningTwinTests
{
    [Theory]
    [InlineData("7601", true, 4)]
    [InlineData("14393", false, 4)]
    [InlineData("22000", true, 4)]
    [InlineData("20348", true, 5)]
    [InlineData("22000", false, 5)]
    public void Qemu_walks_the_tables_as_the_truth_says(string build, bool kvaShadow, int levels)
    {
        var (image, truth) = Twins.Make(Twins.Small(build) with { CpuCount = 3, CpuModes = CpuModes.Mixed, KvaShadow = kvaShadow, Levels = levels, MemorySize = 192 * TwinOptions.MiB, LowSize = 96 * TwinOptions.MiB });
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(image.Plan, directory.Path);
        using var monitor = twin.OpenMonitor();
        // CPU 0 is in the kernel and so keeps its table while it serves the line; the others never leave theirs.
        monitor.Hmp("stop");
        var walked = 0;
        foreach (var cpu in truth.Cpus)
        {
            var root = cpu.Registers.Cr3.Value & ~0xFFFUL;
            foreach (var sample in truth.Translations.Where(t => t.Root.Value == root))
            {
                var answer = Gva2Gpa(monitor, cpu.Index, sample.Va.Value);
                // QEMU's gva2gpa answers "Unmapped" where there is no page.
                Assert.Equal(sample.Pa?.Value, answer);
                walked++;
            }
        }
        Assert.True(walked >= 1000, $"{walked} addresses");
    }

    [Fact]
    public void Processes_come_and_go_on_command()
    {
        var (image, truth) = Twins.Make(Twins.Small("19041"));
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(image.Plan, directory.Path);
        using var monitor = twin.OpenMonitor();
        var links = (ulong)image.Tables.OffsetOf("_EPROCESS", "ActiveProcessLinks");
        var head = truth.Global("PsActiveProcessHead");
        var last = truth.Processes.Last(p => p.Listed);
        Assert.Equal(last.Eprocess.Value + links, Word(monitor, head.Pa.Value + 8));

        var spawn = truth.Commands.First(c => c.Action == "spawn");
        var spare = truth.Processes.Single(p => p.Pid == spawn.Pid);
        twin.Command(spawn.Index);
        Assert.Equal(spare.Eprocess.Value + links, Word(monitor, head.Pa.Value + 8));

        var exit = truth.Commands.First(c => c.Action == "exit" && c.Pid == spawn.Pid);
        twin.Command(exit.Index);
        Assert.Equal(last.Eprocess.Value + links, Word(monitor, head.Pa.Value + 8));
        var exitTime = (ulong)image.Tables.OffsetOf("_EPROCESS", "ExitTime");
        Assert.Equal((ulong)exit.ExitTime!.Value.ToFileTimeUtc(), Word(monitor, image.System.Translate(spare.Eprocess.Value + exitTime)));
    }

    [Fact]
    public void The_hot_area_is_written_to_until_it_is_told_to_cool()
    {
        var (image, truth) = Twins.Make(Twins.Small("19041") with { CpuCount = 2, HotPages = 1024, MemorySize = 192 * TwinOptions.MiB, LowSize = 96 * TwinOptions.MiB });
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(image.Plan, directory.Path);
        using var monitor = twin.OpenMonitor();
        var hot = truth.Hot!;
        Assert.Equal(1024UL, hot.Runs.Aggregate(0UL, (sum, r) => sum + r.Pages));
        Assert.All(hot.Runs.SelectMany(r => Enumerable.Range((int)r.FirstPage.Value, (int)r.Pages)), p => Assert.Equal(PageState.Active, image.Frames.States[p]));
        Assert.All(Stamps(monitor, hot, directory.Path), s => Assert.Equal(0UL, s));

        twin.Hot(true);
        var before = Word(monitor, hot.CounterPa.Value);
        for (var round = 0; round < 5; round++)
        {
            // Several times round the area between two looks.
            while (Word(monitor, hot.CounterPa.Value) < before + 5000)
                twin.Ping();
            monitor.Execute("stop");
            var stamps = Stamps(monitor, hot, directory.Path);
            var (counter, newest) = (Word(monitor, hot.CounterPa.Value), stamps.Max());
            // The counter is written first: stopped in between, the area is one behind.
            Assert.InRange(counter, newest, newest + 1);
            Assert.True(newest > before);
            for (var page = 0UL; page < 1024; page++)
                Assert.Equal(newest - (newest - page) % 1024, stamps[page]);
            before = newest;
            monitor.Execute("cont");
        }

        twin.Hot(false);
        var cool = Stamps(monitor, hot, directory.Path);
        var later = Word(monitor, hot.CounterPa.Value) + 2000;
        while (Word(monitor, hot.CounterPa.Value) < later)
            twin.Ping();
        Assert.Equal(cool, Stamps(monitor, hot, directory.Path));
    }

    [Fact]
    public void Without_a_hot_area_none_can_be_heated()
    {
        var (image, _) = Twins.Make(Twins.Small("9600"));
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(image.Plan, directory.Path);
        Assert.Throws<MachineException>(() => twin.Hot(true));
    }

    /// <summary>The first eight bytes of each page of the hot area, saved by QEMU.</summary>
    private static ulong[] Stamps(QmpClient monitor, TruthHot hot, string folder)
    {
        var stamps = new List<ulong>();
        foreach (var run in hot.Runs)
        {
            var path = Path.Combine(folder, "hot.bin");
            monitor.Execute("pmemsave", new JsonObject { ["val"] = (long)(run.FirstPage.Value << 12), ["size"] = (long)(run.Pages << 12), ["filename"] = path });
            var bytes = File.ReadAllBytes(path);
            for (var at = 0; at < bytes.Length; at += 0x1000)
                stamps.Add(BitConverter.ToUInt64(bytes, at));
        }
        return [.. stamps];
    }

    private static ulong? Gva2Gpa(QmpClient monitor, int cpu, ulong va)
    {
        var answer = monitor.Execute("human-monitor-command", new JsonObject { ["command-line"] = $"gva2gpa 0x{va:x}", ["cpu-index"] = cpu }).GetString()!;
        return answer.StartsWith("gpa: 0x", StringComparison.Ordinal) ? ulong.Parse(answer.AsSpan(7).Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture) : null;
    }

    private static ulong Word(QmpClient monitor, ulong pa) =>
        ulong.Parse(monitor.Hmp($"xp /1gx 0x{pa:x}").Split("0x")[^1].Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
