using System.Text.Json.Nodes;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Tests;

/// <summary>Twins crash when they are told to, or soon after their start.</summary>
public sealed class MachineCrashTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly MachineOptions s_devices = new() { PanicIsa = true, PanicPci = true, Watchdog = "pause" };

    private static TwinImage Build(PanicWay? atBoot, CpuModes modes) => ImageBuilder.Build(
        new TwinOptions { MemorySize = 128 * TwinOptions.MiB, Processes = 5, Threads = 1, Drivers = 5, HotPages = 16, CpuModes = modes, Panic = true, PanicAtBoot = atBoot, Bugcheck = new Bugcheck(0xD1, 1, 2, 3, 4) },
        KernelCatalog.Load("19041"), GuestCode.Assemble);

    [Theory]
    [InlineData(PanicWay.Isa, "GUEST_PANICKED")]
    [InlineData(PanicWay.Pci, "GUEST_PANICKED")]
    [InlineData(PanicWay.Watchdog, "WATCHDOG")]
    public void A_twin_crashes_when_told(PanicWay way, string expected)
    {
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(Build(null, CpuModes.Kernel).Plan, directory.Path, s_devices);
        using var monitor = new QmpClient(twin.QmpSocket);
        monitor.Execute("set-action", new JsonObject { ["panic"] = "pause" });
        twin.Hot(true);
        twin.Panic(way);
        Assert.NotNull(monitor.WaitFor(expected, s_patience));
        Assert.False(monitor.Execute("query-status").GetProperty("running").GetBoolean());
    }

    [Theory]
    [InlineData(PanicWay.Isa, CpuModes.Kernel)]
    [InlineData(PanicWay.Pci, CpuModes.Entry)]
    internal void A_twin_crashes_soon_after_its_start(PanicWay way, CpuModes modes)
    {
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(Build(way, modes).Plan, directory.Path, s_devices with { Paused = true });
        using var monitor = new QmpClient(twin.QmpSocket);
        monitor.Execute("set-action", new JsonObject { ["panic"] = "pause" });
        monitor.Execute("cont");
        Assert.NotNull(monitor.WaitFor("GUEST_PANICKED", s_patience));
    }
}
