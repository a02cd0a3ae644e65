using System.Net.Sockets;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>
/// The live ways on Debian 13's QEMU 10, which runs in a root folder and a mount namespace of its own, as in a container. What is the same as on the installed one is tested by the same
/// tests; what newer QEMUs do otherwise, here.
/// </summary>
public sealed class NewerQemuTests
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    public NewerQemuTests() => TestQemu.UseNewer();

    private static TestQemu Start(string backend = "anonymous")
    {
        var qemu = new TestQemu(SnapshotTests.Machine(backend));
        Assert.True(SnapshotFacts.QemuVersion(qemu.Referee, Ct) >= new Version(10, 0), "an older QEMU was started");
        qemu.WaitForStamps();
        return qemu;
    }

    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    public void Snapshots_are_of_one_instant(string backend) => new SnapshotTests().All_stamps_and_registers_are_of_one_instant(backend, CaptureMode.Snapshot);

    /// <summary>With all registers, by xen-save-devices-state.</summary>
    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    public void Copies_of_a_stopped_guest_are_of_one_instant(string backend) => DeviceStateTests.AssertCopies(backend);

    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    public void Held_and_live_views_are_what_they_say(string backend)
    {
        using var qemu = Start(backend);
        for (var i = 0; i < SnapshotTests.Captures; i++)
        {
            using (var held = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.HoldStopped), null, Ct))
            {
                Assert.Equal(ConsistencyLevel.Instant, held.Consistency.Level);
                Assert.False(qemu.IsRunning);
                Assert.Equal(0, StampCheck.Disagreeing(held.Memory));
                Assert.Equal(StampCheck.Counter(held.Memory), qemu.Counter());
                DeviceStateTests.AssertComplete(held);
            }
            Assert.True(qemu.IsRunning);
            using var live = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Live), null, Ct);
            Assert.Equal(ConsistencyLevel.Smeared, live.Consistency.Level);
            Assert.Equal(BareGuest.R15, live.Cpus[0].R15);
            var before = StampCheck.Counter(live.Memory);
            TestQemu.WaitFor(() => StampCheck.Counter(live.Memory) > before, "the counter to be seen rising");
        }
        SnapshotTests.AssertSound(qemu);
    }

    /// <summary>Cancelled, and without a reader: QEMU 8.1 and later let go of the guest's memory themselves, and a rescue finds nothing to lift.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_snapshot_that_ends_early_hangs_no_guest(bool cancel)
    {
        using var qemu = Start();
        Assert.DoesNotContain(LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.Auto), Ct).Facts, fact => fact.Contains("hangs a guest", StringComparison.Ordinal));
        for (var round = 0; round < 3; round++)
        {
            var path = Path.Combine(qemu.Folder, "stream");
            using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(new UnixDomainSocketEndPoint(path));
            listener.Listen(1);
            MigrationSettings.SetCapability((command, arguments) => qemu.Referee.Qmp(command, arguments, Ct), MigrationSettings.Snapshot, true);
            qemu.Referee.Qmp("migrate", w => w.WriteString("uri", $"unix:{path}"), Ct);
            using (var reader = listener.Accept())
            {
                TestQemu.WaitFor(() => SnapshotTests.Status(qemu) == "active" && WriteProtection.RangesOf(qemu.ProcessId).Count != 0, "a snapshot at work");
                Assert.True(GuestRepair.Run(qemu.Target, new RepairOptions(), Ct).Busy);
                if (cancel)
                    qemu.Referee.Qmp("migrate_cancel", null, Ct);
                // Closed here, in the middle of what it has to read.
            }
            File.Delete(path);
            TestQemu.WaitFor(() => SnapshotTests.Status(qemu) is "cancelled" or "failed", "the snapshot's end");
            SnapshotWatchdogTests.AssertAdvancesWithinASecond(qemu);
            var repaired = GuestRepair.Run(qemu.Target, new RepairOptions(), Ct);
            Assert.Equal([$"switched {MigrationSettings.Snapshot} off"], repaired.Done);
            Assert.Single(repaired.Found);
            SnapshotTests.AssertSound(qemu);
            using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        }
    }

    [Fact]
    public void Killed_at_any_point_the_guest_runs_on_and_can_be_saved()
    {
        using var qemu = Start();
        SnapshotWatchdogTests.AssertSurvivesKills(qemu, 3);
    }

    [Fact]
    public void Settings_that_others_made_are_kept() => new SnapshotTests().Whatever_is_switched_on_a_snapshot_is_whole("memfd");

    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    public void Plugged_modules_are_in_it(CaptureMode mode) => new PlugTests().Between_captures_each_has_what_there_is(mode);

    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    public void Plugged_blocks_are_in_it(CaptureMode mode) => new VirtioMemPlugTests().Each_view_has_the_blocks_of_its_instant(mode, "memfd");

    [Theory]
    [InlineData(AlarmGuest.IsaPanic, true)]
    [InlineData(AlarmGuest.PciPanic, false)]
    public void A_guest_that_panics_waits_until_it_is_dumped(char how, bool atBoot) => new AlarmQmpTests().A_guest_that_panics_waits_until_it_is_dumped(how, atBoot);

    [Fact]
    public void A_watchdog_that_runs_out_is_heard() => new AlarmQmpTests().A_watchdog_that_runs_out_is_heard("pause", GuestStanding.Stands, true);
}
