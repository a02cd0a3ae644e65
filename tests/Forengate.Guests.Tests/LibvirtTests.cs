using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>A real libvirt and real QEMU under it.</summary>
public sealed class LibvirtTests(TestLibvirt libvirt) : IClassFixture<TestLibvirt>
{
    private const int SigKill = 9;
    private const int SigStop = 19;
    private const int SigCont = 18;

    private const string SharedMemory = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";

    private const string TwoNodes =
        "<cpu mode='custom' match='exact'><model>qemu64</model><numa><cell id='0' cpus='0' memory='64' unit='MiB'/><cell id='1' cpus='1' memory='64' unit='MiB'/></numa></cpu>";

    [Fact]
    public void Guests_are_listed_with_what_libvirt_knows()
    {
        libvirt.Start("listed");
        var guest = Assert.Single(GuestList.Of(libvirt.Uri, CancellationToken.None), g => g.Name == "listed");
        Assert.Equal(GuestState.Running, guest.State);
        Assert.Equal(96UL << 20, guest.MaxMemory);
        Assert.Equal(2, guest.VirtualCpus);
        Assert.Equal(libvirt.Virsh("domuuid", "listed").Trim(), guest.Uuid.ToString());
        Assert.Equal(libvirt.Virsh("domid", "listed").Trim(), guest.Id!.Value.ToString(null, null));
        Assert.Equal("libvirt:listed", guest.Target);
    }

    [Fact]
    public void Guests_of_any_driver_are_listed()
    {
        libvirt.Start("any");
        var guest = Assert.Single(GuestList.Of("test:///default", CancellationToken.None));
        Assert.Equal("test", guest.Name);
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            GuestTarget.Parse("libvirt:test"), TestQemu.Options(CaptureMode.Live) with { ConnectUri = "test:///default" }, null, CancellationToken.None));
        Assert.Equal(GuestFailure.NotQemu, e.Failure);
    }

    [Theory]
    [InlineData("anonymous", "", false)]
    [InlineData("shared", SharedMemory, false)]
    [InlineData("nodes", TwoNodes, true)]
    public void A_copy_is_of_one_instant_and_libvirt_knows_the_guest_runs(string name, string extra, bool byUuid)
    {
        var target = libvirt.Start(name, extra, name == "nodes" ? 128 : 96);
        if (byUuid)
            target = target with { Name = libvirt.Virsh("domuuid", name).Trim() };
        WaitForStamps(target);
        using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        Assert.Equal("running", libvirt.State(name));
        Assert.True(view.Origin.StoodStill > TimeSpan.Zero);
        Assert.Contains(view.Origin.Remarks, r => r.Contains("custom-monitor", StringComparison.Ordinal));
        // Without a video card the legacy video hole is RAM too.
        Assert.Equal(name == "nodes" ? 128UL : 96UL, view.Memory.Size >> 20);
        AssertRegisters(view);
    }

    private static void AssertRegisters(View view)
    {
        Assert.Equal(2, view.Cpus.Count);
        var cpu = view.Cpus[0];
        var counter = StampCheck.Counter(view.Memory);
        Assert.InRange(cpu.Rax!.Value, counter, counter + 1);
        Assert.Equal(BareGuest.R15, cpu.R15);
        Assert.Equal(BareGuest.GsBase, cpu.Gs!.Value.Base);
        // In no monitor command's text: only QEMU's ELF note has it, and libvirt's own dump brings that.
        Assert.Equal(BareGuest.KernelGsBase, cpu.KernelGsBase);
        Assert.Equal(BareGuest.Dr0, cpu.Dr0);
        Assert.Equal(BareGuest.Cr8, cpu.Cr8);
    }

    [Fact]
    public void A_paused_guest_stays_paused()
    {
        var target = libvirt.Start("paused");
        WaitForStamps(target);
        libvirt.Virsh("suspend", "paused");
        var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        AssertRegisters(view);
        view.Dispose();
        Assert.Equal("paused", libvirt.State("paused"));
        Assert.Empty(view.Origin.Actions);
    }

    [Fact]
    public void A_guest_runs_again_when_who_stopped_it_is_killed()
    {
        var target = libvirt.Start("killed");
        WaitForStamps(target);
        using var victim = WatchdogTests.StartVictim(Victim.Verb, target.ToString(), "600000", libvirt.Uri);
        Assert.Equal("holding", victim.StandardOutput.ReadLine());
        Assert.Equal("paused", libvirt.State("killed"));
        WatchdogTests.Signal(victim.Id, SigKill);
        TestQemu.WaitFor(() => libvirt.State("killed") == "running", "the guest to run again");
        Assert.True(victim.WaitForExit(TimeSpan.FromMinutes(1)), "the victim does not end");
    }

    [Fact]
    public void A_guest_runs_again_at_the_deadline_when_who_stopped_it_hangs()
    {
        var target = libvirt.Start("hung");
        WaitForStamps(target);
        using var victim = WatchdogTests.StartVictim(Victim.Verb, target.ToString(), "1500", libvirt.Uri);
        Assert.Equal("holding", victim.StandardOutput.ReadLine());
        WatchdogTests.Signal(victim.Id, SigStop);
        TestQemu.WaitFor(() => libvirt.State("hung") == "running", "the watchdog's deadline");
        WatchdogTests.Signal(victim.Id, SigCont);
        WatchdogTests.Signal(victim.Id, SigKill);
        Assert.True(victim.WaitForExit(TimeSpan.FromMinutes(1)), "the victim does not end");
        Assert.Equal("running", libvirt.State("hung"));
    }

    [Fact]
    public void A_mistyped_name_is_answered_with_near_ones()
    {
        libvirt.Start("windows-server");
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            GuestTarget.Parse("libvirt:windows-sevrer"), libvirt.Options(CaptureMode.Live), null, CancellationToken.None));
        Assert.Equal(GuestFailure.NotFound, e.Failure);
        Assert.Contains("windows-server", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Fact]
    public void A_guest_that_is_off_is_not_running()
    {
        libvirt.Start("off");
        var xml = libvirt.Virsh("dumpxml", "off", "--inactive");
        var file = Path.Combine(libvirt.Folder, "off-defined.xml");
        File.WriteAllText(file, xml);
        libvirt.Virsh("define", file);
        libvirt.Virsh("destroy", "off");
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            GuestTarget.Parse("libvirt:off"), libvirt.Options(CaptureMode.StopAndCopy), null, CancellationToken.None));
        Assert.Equal(GuestFailure.NotRunning, e.Failure);
        libvirt.Virsh("undefine", "off");
    }

    [Fact]
    public void A_monitor_that_libvirt_has_is_busy()
    {
        var target = libvirt.Start("busy");
        WaitForStamps(target);
        var socket = Assert.Single(Directory.GetFiles(Path.Combine(libvirt.Folder, "config"), "monitor.sock", SearchOption.AllDirectories), s => s.Contains("-busy", StringComparison.Ordinal));
        var e = Assert.Throws<GuestException>(() => QmpMonitor.Open(socket, CancellationToken.None));
        Assert.Equal(GuestFailure.MonitorBusy, e.Failure);
        Assert.Contains("libvirt:", e.Message, StringComparison.Ordinal);
    }

    private void WaitForStamps(GuestTarget target) => TestQemu.WaitFor(
        () =>
        {
            using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.Live), null, CancellationToken.None);
            return StampCheck.Counter(view.Memory) > 2 * BareGuest.FieldPages;
        },
        "the guest's counter");
}
