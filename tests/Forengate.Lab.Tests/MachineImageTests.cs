using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Tests;

/// <summary>Whole images of every family run, and do what they are told.</summary>
public sealed class MachineImageTests
{
    [Theory]
    [InlineData("7601", 1)]
    [InlineData("9600", 3)]
    [InlineData("14393", 1)]
    [InlineData("17763", 3)]
    [InlineData("19041", 8)]
    [InlineData("20348", 3)]
    [InlineData("22000", 64)]
    public void An_image_of_each_family_runs_and_obeys(string build, int cpus)
    {
        var options = new TwinOptions
        {
            Build = build, CpuCount = cpus, CpuModes = CpuModes.Mixed, MemorySize = 256 * TwinOptions.MiB, LowSize = 128 * TwinOptions.MiB, SpareProcesses = 2, Processes = 200,
        };
        var image = ImageBuilder.Build(options, KernelCatalog.Load(build), GuestCode.Assemble);
        Assert.NotEmpty(image.Commands);
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(image.Plan, directory.Path);
        foreach (var command in image.Commands)
            twin.Command(command.Index);
        // Every CPU is still in its place, and none has had an exception.
        twin.WaitUntilReady(image.Plan, TimeSpan.FromSeconds(30));
        using var monitor = twin.OpenMonitor();
        monitor.Execute("stop");
        Assert.DoesNotContain("v=", File.ReadAllText(Path.Combine(directory.Path, "qemu.log")), StringComparison.Ordinal);
    }
}
