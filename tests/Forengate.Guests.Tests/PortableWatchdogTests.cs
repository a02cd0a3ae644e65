using System.Diagnostics;
using System.Globalization;

namespace Forengate.Guests.Tests;

/// <summary>Whatever happens to who takes a guest by libvirt's own means, or to libvirt's daemon: afterwards the guest runs.</summary>
public sealed class PortableWatchdogTests(PortableLibvirt libvirt) : IClassFixture<PortableLibvirt>
{
    private const int SigKill = 9;
    private const int SigStop = 19;

    /// <summary>So that a dump takes long enough to be hit in the middle.</summary>
    private const int Mebibytes = 512;

    /// <summary>How often who captures is killed; FORENGATE_KILLS asks for more (docs/capture.md).</summary>
    private static readonly int s_kills = int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_KILLS"), NumberStyles.None, null, out var asked) ? asked : 5;

    [Theory]
    [InlineData(CaptureMeans.Libvirt)]
    [InlineData(CaptureMeans.Peek)]
    public void Killed_at_any_point_the_guest_runs_on(CaptureMeans means)
    {
        var target = libvirt.Start("portable-killed-" + means.ToString().ToLowerInvariant(), mebibytes: Mebibytes);
        libvirt.WaitForStamps(target);
        for (var kill = 0; kill < s_kills; kill++)
        {
            using var victim = Begin(target, means);
            // Every other time for sure while the guest stands still.
            if (kill % 2 == 1)
                WaitUntilPaused(target, victim);
            else
                Thread.Sleep(Random.Shared.Next(600));
            WatchdogTests.Signal(victim.Id, SigKill);
            victim.WaitForExit();
            TestQemu.WaitFor(() => libvirt.State(target.Name) == "running", "the guest to run again");
            libvirt.AssertRuns(target);
        }
        libvirt.AssertSavesAndRestores(target.Name);
        libvirt.AssertRuns(target);
        libvirt.Stop(target);
    }

    [Theory]
    [InlineData(CaptureMeans.Libvirt)]
    [InlineData(CaptureMeans.Peek)]
    public void Hanging_in_the_middle_it_is_ended_for_the_guests_sake(CaptureMeans means)
    {
        var target = libvirt.Start("portable-hung-" + means.ToString().ToLowerInvariant(), mebibytes: Mebibytes);
        libvirt.WaitForStamps(target);
        using var victim = Begin(target, means);
        WaitUntilPaused(target, victim);
        WatchdogTests.Signal(victim.Id, SigStop);
        if (libvirt.State(target.Name) == "paused")
            TestQemu.WaitFor(() => libvirt.State(target.Name) == "running", "the watchdog's deadline");
        libvirt.AssertRuns(target);
        // The watchdog may have ended it.
        victim.Kill();
        victim.WaitForExit();
        libvirt.Stop(target);
    }

    [Theory]
    [InlineData(CaptureMeans.Libvirt)]
    [InlineData(CaptureMeans.Peek)]
    public void Killed_in_the_middle_the_daemon_comes_back_and_the_guest_runs(CaptureMeans means)
    {
        var target = libvirt.Start("portable-daemon-" + means.ToString().ToLowerInvariant(), mebibytes: Mebibytes);
        libvirt.WaitForStamps(target);
        using var victim = WatchdogTests.StartVictim(PortableVictim.OnceVerb, target.ToString(), libvirt.TcpUri, means.ToString());
        WaitUntilPaused(target, victim);
        libvirt.KillDaemon();
        libvirt.RestartDaemon();
        TestQemu.WaitFor(() => libvirt.State(target.Name) == "running", "the guest to run again");
        libvirt.AssertRuns(target);
        var said = victim.StandardOutput.ReadToEnd();
        Assert.True(victim.WaitForExit(TimeSpan.FromMinutes(2)), "who captured does not end");
        // Either it was over just before, or it failed, and says so.
        Assert.True(victim.ExitCode == 1 || said.Contains("; 0; ", StringComparison.Ordinal), said);
        using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.Auto, means), null, CancellationToken.None);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        libvirt.Stop(target);
    }

    [Fact]
    public void A_cancelled_dump_is_ended_and_the_guest_runs()
    {
        var target = libvirt.Start("portable-cancelled", mebibytes: Mebibytes);
        libvirt.WaitForStamps(target);
        using var cancelled = new CancellationTokenSource();
        var progress = new Telling(cancelled.Cancel);
        Assert.ThrowsAny<OperationCanceledException>(() => LiveCapture.Take(target, libvirt.Options(CaptureMode.Auto, CaptureMeans.Libvirt), progress, cancelled.Token));
        libvirt.AssertRuns(target);
        libvirt.Stop(target);
    }

    [Fact]
    public void Without_a_watchdog_nothing_is_stopped()
    {
        var target = libvirt.Start("portable-alone");
        libvirt.WaitForStamps(target);
        foreach (var means in (CaptureMeans[])[CaptureMeans.Libvirt, CaptureMeans.Peek])
        {
            var options = libvirt.Options(CaptureMode.Auto, means) with { Watchdog = new WatchdogHost("/bin/true", []) };
            Assert.Equal(GuestFailure.Watchdog, Assert.Throws<GuestException>(() => LiveCapture.Take(target, options, null, CancellationToken.None)).Failure);
        }
        libvirt.AssertRuns(target);
        libvirt.Stop(target);
    }

    private Process Begin(GuestTarget target, CaptureMeans means)
    {
        var victim = WatchdogTests.StartVictim(PortableVictim.Verb, target.ToString(), libvirt.TcpUri, means.ToString());
        Assert.Equal("begun", victim.StandardOutput.ReadLine());
        return victim;
    }

    private void WaitUntilPaused(GuestTarget target, Process victim)
    {
        using var monitor = LibvirtMonitor.OpenAnywhere(libvirt.Uri, target.Name, anyDriver: false, CancellationToken.None);
        TestQemu.WaitFor(() => victim.HasExited || monitor.Domain.State().State == GuestState.Paused, "the guest to be stopped");
        Assert.False(victim.HasExited, "who captures ended before");
    }

    private sealed class Telling(Action action) : IProgress<CaptureProgress>
    {
        public void Report(CaptureProgress value)
        {
            if (value.Phase == CapturePhase.Copying)
                action();
        }
    }
}
