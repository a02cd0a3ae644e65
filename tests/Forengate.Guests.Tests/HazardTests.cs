using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>What may befall a capture halfway: afterwards the guest runs, can be saved, and nothing is set otherwise than before.</summary>
public sealed class HazardTests(SnapshotLibvirt libvirt) : IClassFixture<SnapshotLibvirt>
{
    private const int SigStop = 19;
    private const int SigCont = 18;
    private const long Bandwidth = 123456789;

    private static readonly CancellationToken Ct = CancellationToken.None;

    private static TestQemu Guest()
    {
        var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        SetBandwidth(qemu, Bandwidth);
        return qemu;
    }

    private static void SetBandwidth(TestQemu qemu, long bytes) => qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteNumber("max-bandwidth", bytes), Ct);

    private static void AssertAsBefore(TestQemu qemu)
    {
        SnapshotWatchdogTests.AssertAdvancesWithinASecond(qemu);
        Assert.Equal(Bandwidth, qemu.Referee.Qmp("query-migrate-parameters", null, Ct).Integer("max-bandwidth"));
        SnapshotTests.AssertSound(qemu);
        LiveMigration.AssertWorks(qemu);
        using var again = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(again.Memory));
    }

    [Fact]
    public void A_snapshot_that_falls_silent_is_cancelled_and_the_protection_lifted()
    {
        using var qemu = Guest();
        // Long enough for the silence, and not so long that it does not answer when it is asked then.
        var goOn = new Thread(() =>
        {
            Thread.Sleep(1500);
            WatchdogTests.Signal(qemu.ProcessId, SigCont);
        });
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            qemu.Target, TestQemu.Options(CaptureMode.Snapshot) with { SnapshotSilence = TimeSpan.FromMilliseconds(300) }, new AtFirst(CapturePhase.Copying, () =>
            {
                WatchdogTests.Signal(qemu.ProcessId, SigStop);
                goOn.Start();
            }), Ct));
        goOn.Join();
        Assert.Contains("sent nothing", e.Message, StringComparison.Ordinal);
        AssertAsBefore(qemu);
    }

    [Fact]
    public void After_a_snapshot_that_another_cancelled_the_protection_is_lifted()
    {
        using var qemu = Guest();
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            qemu.Target, TestQemu.Options(CaptureMode.Snapshot), new AtFirst(CapturePhase.Copying, () => qemu.Referee.Qmp("migrate_cancel", null, Ct)), Ct));
        Assert.Contains("background snapshot", e.Message, StringComparison.Ordinal);
        AssertAsBefore(qemu);
    }

    [Fact]
    public void A_snapshot_of_a_QEMU_that_is_stopped_is_ended_when_it_goes_on()
    {
        using var qemu = Guest();
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            qemu.Target, TestQemu.Options(CaptureMode.Snapshot) with { SnapshotSilence = TimeSpan.FromSeconds(1) },
            new AtFirst(CapturePhase.Copying, () => WatchdogTests.Signal(qemu.ProcessId, SigStop)), Ct));
        Assert.Contains("is it stopped,", e.Message, StringComparison.Ordinal);
        WatchdogTests.Signal(qemu.ProcessId, SigCont);
        SnapshotWatchdogTests.AssertAdvancesWithinASecond(qemu);
        TestQemu.WaitFor(() => SnapshotWatchdogTests.IsFree(qemu), "the watchdog to end");
        Assert.Equal("completed", SnapshotTests.Status(qemu));
        AssertAsBefore(qemu);
    }

    [Fact]
    public void A_disk_that_hangs_while_a_snapshot_is_spilled_ends_it()
    {
        using var disk = TestDisk.File(400);
        using var qemu = Guest();
        try
        {
            var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
                qemu.Target, TestQemu.Options(CaptureMode.Snapshot) with { AvailableMemory = CopyRoom.Reserve + CopyRoom.Staging, SpillFolder = disk.Folder },
                new AtFirst(CapturePhase.Copying, disk.Freeze), Ct));
            Assert.Equal(GuestFailure.NoDisk, e.Failure);
            AssertAsBefore(qemu);
        }
        finally
        {
            disk.Thaw();
        }
    }

    [Fact]
    public void A_disk_that_hangs_while_the_guest_stands_still_does_not_keep_it_so()
    {
        using var disk = TestDisk.File(400);
        using var qemu = Guest();
        var ran = false;
        var thaw = new Thread(() =>
        {
            TestQemu.WaitFor(() => qemu.IsRunning, "the watchdog");
            ran = true;
            disk.Thaw();
        });
        using (var view = LiveCapture.Take(
            qemu.Target,
            TestQemu.Options(CaptureMode.StopAndCopy) with { AvailableMemory = CopyRoom.Reserve + CopyRoom.Staging, SpillFolder = disk.Folder, Deadline = TimeSpan.FromSeconds(2), Threads = 1 },
            new AtFirst(CapturePhase.Copying, () =>
            {
                disk.Freeze();
                thaw.Start();
            }),
            Ct))
        {
            Assert.Equal(ConsistencyLevel.Smeared, view.Consistency.Level);
        }
        thaw.Join();
        Assert.True(ran);
        AssertAsBefore(qemu);
    }

    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    public void A_daemon_of_libvirt_that_is_restarted_halfway_is_waited_for(CaptureMode mode)
    {
        var name = "forengate-restart-" + mode.ToString().ToLowerInvariant();
        var target = libvirt.Start(name);
        TestQemu.WaitFor(
            () =>
            {
                using var live = LiveCapture.Take(target, libvirt.Options(CaptureMode.Live), null, Ct);
                return StampCheck.Counter(live.Memory) > 2 * BareGuest.FieldPages;
            },
            "the guest's counter");
        // The daemon ends with the thread that started it.
        using var restarted = new ManualResetEventSlim();
        var restart = new Thread(() =>
        {
            libvirt.RestartDaemon();
            restarted.Set();
            Thread.Sleep(Timeout.Infinite);
        })
        { IsBackground = true };
        using (var view = LiveCapture.Take(target, libvirt.Options(mode), new AtFirst(CapturePhase.Copying, () =>
        {
            libvirt.KillDaemon();
            restart.Start();
        }), Ct))
        {
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            // Without QEMU's events, which libvirt does not pass on.
            Assert.NotNull(view.Origin.StoodStill);
        }
        Assert.True(restarted.Wait(TimeSpan.FromMinutes(1), Ct));
        Assert.Equal("running", libvirt.State(name));
        Assert.Contains("\"max-bandwidth\":134217728", libvirt.Virsh("qemu-monitor-command", name, "{\"execute\":\"query-migrate-parameters\"}"), StringComparison.Ordinal);
        Assert.Contains("{\"state\":false,\"capability\":\"background-snapshot\"}", libvirt.Virsh("qemu-monitor-command", name, "{\"execute\":\"query-migrate-capabilities\"}"), StringComparison.Ordinal);
        libvirt.AssertSavesAndRestores(name);
        using var again = LiveCapture.Take(target, libvirt.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(again.Memory));
    }

    [Fact]
    public void The_pause_of_a_snapshot_is_counted_by_QEMU_itself_too()
    {
        using var qemu = Guest();
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct))
        {
            var counted = TimeSpan.FromMilliseconds((double)qemu.Referee.Qmp("query-migrate", null, Ct).Integer("downtime")!.Value);
            // It begins a little before the event, and is in whole milliseconds.
            Assert.InRange(counted, view.Origin.StoodStill!.Value - TimeSpan.FromMilliseconds(1.1), view.Origin.StoodStill!.Value + TimeSpan.FromSeconds(5));
        }
        var target = libvirt.Start("forengate-counted");
        using var under = LiveCapture.Take(target, libvirt.Options(CaptureMode.Snapshot), null, Ct);
        Assert.InRange(under.Origin.StoodStill!.Value, TimeSpan.Zero, TimeSpan.FromSeconds(2));
        Assert.Contains(under.Origin.Remarks, r => r.Contains("query-migrate, downtime", StringComparison.Ordinal));
    }

    /// <summary>Does something once, when a phase begins.</summary>
    private sealed class AtFirst(CapturePhase phase, Action action) : IProgress<CaptureProgress>
    {
        private int _done;

        public void Report(CaptureProgress value)
        {
            if (value.Phase == phase && Interlocked.Exchange(ref _done, 1) == 0)
                action();
        }
    }
}
