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

    private static ulong? Gva2Gpa(QmpClient monitor, int cpu, ulong va)
    {
        var answer = monitor.Execute("human-monitor-command", new JsonObject { ["command-line"] = $"gva2gpa 0x{va:x}", ["cpu-index"] = cpu }).GetString()!;
        return answer.StartsWith("gpa: 0x", StringComparison.Ordinal) ? ulong.Parse(answer.AsSpan(7).Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture) : null;
    }

    private static ulong Word(QmpClient monitor, ulong pa) =>
        ulong.Parse(monitor.Hmp($"xp /1gx 0x{pa:x}").Split("0x")[^1].Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
