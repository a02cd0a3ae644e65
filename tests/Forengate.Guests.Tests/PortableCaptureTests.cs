using System.Diagnostics;
using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>Guests by libvirt's own dump and memory peeks, over TCP as from another host: one instant, and no mark on the domain.</summary>
public sealed class PortableCaptureTests(PortableLibvirt libvirt) : IClassFixture<PortableLibvirt>
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    /// <summary>Captures of each means; FORENGATE_CAPTURES asks for more (docs/capture.md).</summary>
    private static readonly int s_captures = int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_CAPTURES"), NumberStyles.None, null, out var asked) ? asked : 5;

    [Theory]
    [InlineData(CaptureMeans.Libvirt)]
    [InlineData(CaptureMeans.Peek)]
    [InlineData(CaptureMeans.Monitor)]
    public void All_stamps_and_registers_are_of_one_instant(CaptureMeans means)
    {
        var target = libvirt.Start("portable-" + means.ToString().ToLowerInvariant());
        libvirt.WaitForStamps(target);
        for (var i = 0; i < s_captures; i++)
        {
            using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.StopAndCopy, means), null, Ct);
            Assert.Empty(view.Origin.Damage);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            Assert.InRange(view.Memory.Size, 95UL << 20, 96UL << 20);
            Assert.True(view.Origin.StoodStill > TimeSpan.Zero);
            Assert.Equal(means == CaptureMeans.Peek ? ConsistencyLevel.MemoryOnly : ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Equal(means == CaptureMeans.Peek ? 0 : 2, view.Cpus.Count);
            // The one way that has to find RAM without QEMU's word; the firmware here is SeaBIOS.
            Assert.Equal(means == CaptureMeans.Peek, view.Origin.Remarks.Any(remark => remark.Contains("(SMBIOS) say the same", StringComparison.Ordinal)));
            if (means != CaptureMeans.Peek)
            {
                var counter = StampCheck.Counter(view.Memory);
                Assert.InRange(view.Cpus[0].Rax!.Value, counter, counter + 1);
                Assert.Equal(BareGuest.R15, view.Cpus[0].R15);
                Assert.Equal(BareGuest.GsBase, view.Cpus[0].Gs!.Value.Base);
                Assert.Equal(means == CaptureMeans.Libvirt ? BareGuest.KernelGsBase : null, view.Cpus[0].KernelGsBase);
            }
            libvirt.AssertRuns(target);
        }
        Assert.Equal(means == CaptureMeans.Monitor, libvirt.IsTainted(target.Name));
        libvirt.Stop(target);
    }

    [Fact]
    public void Where_the_daemon_does_not_reach_our_pipe_memory_is_peeked_at()
    {
        if (!Environment.IsPrivilegedProcess)
            Assert.Skip("only root has folders that this daemon, who is nobody, can't enter");
        var target = libvirt.Start("portable-unreached");
        libvirt.WaitForStamps(target);
        var closed = Directory.CreateTempSubdirectory("forengate-closed-").FullName;
        var host = WatchdogHost.ThisProgram();
        var start = new ProcessStartInfo(host.Executable, [.. host.Arguments, PortableVictim.OnceVerb, target.ToString(), libvirt.TcpUri, nameof(CaptureMeans.Libvirt)]) { RedirectStandardOutput = true };
        start.Environment["TMPDIR"] = closed;
        using var process = Process.Start(start)!;
        Assert.StartsWith("suspend peek resume; 0; 0; ", process.StandardOutput.ReadToEnd(), StringComparison.Ordinal);
        process.WaitForExit();
        libvirt.AssertRuns(target);
        Directory.Delete(closed, recursive: true);
        libvirt.Stop(target);
    }

    [Fact]
    public void What_is_held_or_read_live_is_peeked_at_in_place()
    {
        var target = libvirt.Start("portable-held");
        libvirt.WaitForStamps(target);
        var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.HoldStopped, CaptureMeans.Libvirt), null, Ct);
        Assert.Equal("paused", libvirt.State(target.Name));
        Assert.IsType<PeekMemory>(view.Memory);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        Assert.Equal(ConsistencyLevel.MemoryOnly, view.Consistency.Level);
        view.Dispose();
        Assert.True(view.Origin.StoodStill > TimeSpan.Zero);
        libvirt.AssertRuns(target);
        using var live = LiveCapture.Take(target, libvirt.Options(CaptureMode.Live, CaptureMeans.Libvirt), null, Ct);
        Assert.Equal(ConsistencyLevel.Smeared, live.Consistency.Level);
        // The guest's code does not change; every page of a batch is the one asked for.
        PhysicalAddress[] pages = [new(BareGuest.LoadAddress), new(BareGuest.Cr3), new(0xFFFFFFF000), new(BareGuest.LoadAddress)];
        var bytes = new byte[pages.Length * Page.Size];
        var states = new PageState[pages.Length];
        Assert.Equal(3, live.Memory.ReadPages(pages, bytes, states));
        Assert.Equal(PageState.Missing, states[2]);
        Assert.Equal(BareGuest.Image().AsSpan(0x40, 0x1C0), bytes.AsSpan(0x40, 0x1C0));
        Assert.Equal(bytes.AsSpan(0, Page.Size), bytes.AsSpan(3 * Page.Size, Page.Size));
        libvirt.Stop(target);
    }

    [Fact]
    public void A_paused_guest_is_dumped_and_stays_paused()
    {
        var target = libvirt.Start("portable-paused");
        libvirt.WaitForStamps(target);
        libvirt.Virsh("suspend", target.Name);
        foreach (var means in (CaptureMeans[])[CaptureMeans.Libvirt, CaptureMeans.Peek])
        {
            using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.Auto, means), null, Ct);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            Assert.Null(view.Origin.StoodStill);
            Assert.Equal("paused", libvirt.State(target.Name));
        }
        libvirt.Stop(target);
    }

    [Fact]
    public void The_plan_says_what_would_be_done_and_does_nothing()
    {
        var target = libvirt.Start("portable-planned");
        libvirt.WaitForStamps(target);
        var plan = LiveCapture.Plan(target, libvirt.Options(CaptureMode.Auto, CaptureMeans.Libvirt), Ct);
        Assert.Equal(CaptureMode.LibvirtDump, plan.Mode);
        Assert.Equal(["libvirt", "peek", "live"], plan.Ways.Select(way => way.Name));
        Assert.All(plan.Ways, way => Assert.Null(way.Obstacle));
        Assert.True(plan.Ways[0].Pause > TimeSpan.Zero && plan.Ways[1].Pause > TimeSpan.Zero);
        Assert.Equal(CaptureMode.LibvirtPeek, LiveCapture.Plan(target, libvirt.Options(CaptureMode.Auto, CaptureMeans.Peek), Ct).Mode);
        Assert.Null(LiveCapture.Plan(target, libvirt.Options(CaptureMode.Snapshot, CaptureMeans.Libvirt), Ct).Mode);
        var options = libvirt.Options(CaptureMode.Auto, CaptureMeans.Libvirt) with { MaxPause = TimeSpan.FromMilliseconds(1) };
        Assert.Equal(GuestFailure.TooSlow, Assert.Throws<GuestException>(() => LiveCapture.Take(target, options, null, Ct)).Failure);
        Assert.False(libvirt.IsTainted(target.Name));
        // Where QEMU's process is at hand, libvirt's dump is one way among others.
        var local = LiveCapture.Plan(target, libvirt.Options(CaptureMode.Auto), Ct);
        Assert.Equal(["snapshot", "stop", "libvirt", "live"], local.Ways.Select(way => way.Name));
        libvirt.Stop(target);
    }

    [Fact]
    public void Other_hypervisors_are_declined_in_one_line()
    {
        var options = TestQemu.Options(CaptureMode.Auto) with { ConnectUri = "test:///default" };
        var dumped = Assert.Throws<GuestException>(() => LiveCapture.Take(GuestTarget.Parse("libvirt:test"), options, null, Ct));
        Assert.Equal(GuestFailure.NotQemu, dumped.Failure);
        Assert.Contains("its core", dumped.Message, StringComparison.Ordinal);
        var held = Assert.Throws<GuestException>(() => LiveCapture.Take(GuestTarget.Parse("libvirt:test"), options with { Mode = CaptureMode.HoldStopped }, null, Ct));
        Assert.Equal(GuestFailure.NotQemu, held.Failure);
        Assert.DoesNotContain('\n', dumped.Message + held.Message);
        var plan = LiveCapture.Plan(GuestTarget.Parse("libvirt:test"), options, Ct);
        Assert.Equal([true, false, false], plan.Ways.Select(way => way.Obstacle is null));
    }

    [Fact]
    public void A_monitor_socket_has_no_libvirt_to_ask()
    {
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(GuestTarget.Parse("qmp:/nowhere"), TestQemu.Options(CaptureMode.Auto) with { Means = CaptureMeans.Libvirt }, null, Ct));
        Assert.Contains("--means libvirt", e.Message, StringComparison.Ordinal);
    }
}
