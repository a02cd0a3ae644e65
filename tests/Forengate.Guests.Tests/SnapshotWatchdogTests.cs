using System.Diagnostics;
using System.Globalization;

namespace Forengate.Guests.Tests;

/// <summary>Whatever happens to the process that takes a snapshot, whenever it happens: the guest runs at once, and can be saved.</summary>
public sealed class SnapshotWatchdogTests(SnapshotLibvirt libvirt) : IClassFixture<SnapshotLibvirt>
{
    private const int SigKill = 9;
    private const int SigStop = 19;

    /// <summary>Longer than a capture takes here, so that every point of it can be hit.</summary>
    private const int LongestMilliseconds = 1500;

    /// <summary>How often who captures is killed; FORENGATE_KILLS asks for more (docs/capture.md).</summary>
    private static readonly int s_kills = int.TryParse(Environment.GetEnvironmentVariable("FORENGATE_KILLS"), NumberStyles.None, null, out var asked) ? asked : 5;

    [Fact]
    public void Killed_at_any_point_of_a_snapshot_the_guest_runs_on_and_can_be_saved()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        AssertSurvivesKills(qemu, s_kills);
    }

    internal static void AssertSurvivesKills(TestQemu qemu, int kills)
    {
        for (var kill = 0; kill < kills; kill++)
        {
            // A stratum for each kill, so that a few of them reach every part.
            var wait = ((kill % 5) + Random.Shared.NextDouble()) * LongestMilliseconds / 5;
            using var victim = WatchdogTests.StartVictim(SnapshotVictim.Verb, qemu.Target.ToString());
            Assert.Equal("begun", victim.StandardOutput.ReadLine());
            // Every other time for sure while QEMU sends.
            if (kill % 2 == 1)
            {
                TestQemu.WaitFor(() => SnapshotTests.Status(qemu) == "active", "a snapshot at work");
                wait /= 20;
            }
            Thread.Sleep((int)wait);
            WatchdogTests.Signal(victim.Id, SigKill);
            AssertAdvancesWithinASecond(qemu, wait);
            victim.WaitForExit();
            TestQemu.WaitFor(() => IsFree(qemu), "the watchdog to end");
            if (kill == s_kills - 1)
                LiveMigration.AssertWorks(qemu);
            SnapshotTests.AssertSound(qemu);
        }
    }

    [Fact]
    public void Hanging_in_the_middle_of_a_snapshot_it_is_ended_for_the_guests_sake()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("memfd"));
        qemu.WaitForStamps();
        using var victim = WatchdogTests.StartVictim(SnapshotVictim.Verb, qemu.Target.ToString());
        Assert.Equal("begun", victim.StandardOutput.ReadLine());
        // Stopped where the guest waits for it; between two captures nothing has to be done.
        TestQemu.WaitFor(() => SnapshotTests.Status(qemu) == "active", "a snapshot at work");
        WatchdogTests.Signal(victim.Id, SigStop);
        Assert.Equal("active", SnapshotTests.Status(qemu));
        Assert.True(victim.WaitForExit(TimeSpan.FromMinutes(1)), "who hangs is not ended");
        TestQemu.WaitFor(() => IsFree(qemu), "the watchdog to end");
        LiveMigration.AssertWorks(qemu);
        SnapshotTests.AssertSound(qemu);
    }

    [Fact]
    public void Under_libvirt_the_guest_can_be_saved_and_restored_afterwards()
    {
        var target = libvirt.Start("forengate-killed");
        using var victim = WatchdogTests.StartVictim(SnapshotVictim.Verb, target.ToString(), libvirt.Uri);
        Assert.Equal("begun", victim.StandardOutput.ReadLine());
        TestQemu.WaitFor(() => libvirt.Virsh("qemu-monitor-command", "forengate-killed", "{\"execute\":\"query-migrate\"}").Contains("active", StringComparison.Ordinal), "a snapshot at work");
        var watchdogs = WatchdogTests.ChildrenOf(victim.Id);
        WatchdogTests.Signal(victim.Id, SigKill);
        victim.WaitForExit();
        TestQemu.WaitFor(() => watchdogs.TrueForAll(id => !WatchdogTests.IsAlive(id)), "the watchdog to end");
        Assert.Equal("running", libvirt.State("forengate-killed"));
        libvirt.AssertSavesAndRestores("forengate-killed");
        using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.Snapshot), null, CancellationToken.None);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        Assert.Contains(view.Origin.Remarks, r => r.Contains("tainted", StringComparison.Ordinal));
    }

    internal static void AssertAdvancesWithinASecond(TestQemu qemu, double wait = 0)
    {
        var before = qemu.Counter();
        var watch = Stopwatch.StartNew();
        while (qemu.Counter() == before)
        {
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(1), string.Create(CultureInfo.InvariantCulture, $"killed after {wait:0} ms, the guest has stood still for a second"));
            Thread.Sleep(5);
        }
    }

    internal static bool IsFree(TestQemu qemu)
    {
        try
        {
            QmpMonitor.Open(qemu.Socket, CancellationToken.None).Dispose();
            return true;
        }
        catch (GuestException e) when (e.Failure == GuestFailure.MonitorBusy)
        {
            return false;
        }
    }
}
