using System.Net.Sockets;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>
/// The live ways on Debian 13's QEMU 10, which runs in a root folder and a mount namespace of its own, as in a container. What is the same as on the installed one is tested by the same
/// tests; what newer QEMUs do otherwise, here.
/// </summary>
public sealed class NewerQemuTests(NewerLibvirt libvirt) : IClassFixture<NewerLibvirt>
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    private static TestQemu Start(string backend = "anonymous")
    {
        TestQemu.UseNewer();
        var qemu = new TestQemu(SnapshotTests.Machine(backend));
        Assert.True(SnapshotFacts.QemuVersion(qemu.Referee, Ct) >= new Version(10, 0), "an older QEMU was started");
        qemu.WaitForStamps();
        return qemu;
    }

    private static void Newer(Action test)
    {
        TestQemu.UseNewer();
        test();
    }

    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    public void Snapshots_are_of_one_instant(string backend) => Newer(() => new SnapshotTests().All_stamps_and_registers_are_of_one_instant(backend, CaptureMode.Snapshot));

    /// <summary>With all registers, by xen-save-devices-state.</summary>
    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    public void Copies_of_a_stopped_guest_are_of_one_instant(string backend) => Newer(() => DeviceStateTests.AssertCopies(backend));

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
        for (var round = 0; round < 2; round++)
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
            var counter = qemu.Counter();
            TestQemu.WaitFor(() => qemu.Counter() > counter, "the guest to run on");
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
    public void Settings_that_others_made_are_kept() => Newer(() => new SnapshotTests().Whatever_is_switched_on_a_snapshot_is_whole("shm"));

    [Fact]
    public void A_mode_that_makes_another_thing_of_it_is_named() => Newer(() => new PlanTests(libvirt).A_parameter_that_makes_another_thing_of_it_is_named("mode", "cpr-reboot", "normal"));

    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    public void Plugged_modules_are_in_it(CaptureMode mode) => Newer(() => new PlugTests().Between_captures_each_has_what_there_is(mode));

    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    public void Plugged_blocks_are_in_it(CaptureMode mode) => Newer(() => new VirtioMemPlugTests().Each_view_has_the_blocks_of_its_instant(mode, "memfd"));

    [Theory]
    [InlineData(AlarmGuest.IsaPanic, true)]
    [InlineData(AlarmGuest.PciPanic, false)]
    public void A_guest_that_panics_waits_until_it_is_dumped(char how, bool atBoot) => Newer(() => new AlarmQmpTests().A_guest_that_panics_waits_until_it_is_dumped(how, atBoot));

    [Fact]
    public void A_watchdog_that_runs_out_is_heard() => Newer(() => new AlarmQmpTests().A_watchdog_that_runs_out_is_heard("pause", GuestStanding.Stands, true));

    [Fact]
    public void Shared_memory_that_only_QEMU_can_name_is_read_in_place() => Newer(() => new PlanTests(libvirt).Shared_memory_that_only_QEMU_can_name_is_known_and_read_in_place());

    /// <summary>QEMU as nobody, with a /dev of its own as a container or libvirt's namespace gives it.</summary>
    /// <param name="device">Shell words that make /dev/userfaultfd in it, or none.</param>
    private static TestQemu StartAsNobody(string device)
    {
        TestQemu.UseNewer();
        if (File.ReadAllText("/proc/sys/vm/unprivileged_userfaultfd").Trim() != "0")
            Assert.Skip("this host lets every process track its memory");
        const string Number = "/sys/class/misc/userfaultfd/dev";
        if (!File.Exists(Number))
            Assert.Skip("this kernel has no /dev/userfaultfd");
        var number = File.ReadAllText(Number).Trim().Replace(':', ' ');
        var qemu = TestQemu.Within(
            [
                "/bin/sh", "-c", $"set -e; mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3; {device.Replace("NUMBER", number, StringComparison.Ordinal)} exec \"$@\"", "sh",
                .. TestQemu.Nobody,
            ], SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        return qemu;
    }

    /// <summary>The right to the device is enough, whether all have it or a group.</summary>
    [Theory]
    [InlineData("mknod -m 666 /dev/userfaultfd c NUMBER;")]
    [InlineData("mknod -m 660 /dev/userfaultfd c NUMBER; chgrp 65534 /dev/userfaultfd;")]
    public void A_QEMU_of_nobodys_that_may_open_the_device_makes_a_snapshot(string device)
    {
        using var qemu = StartAsNobody(device);
        Assert.Equal(CaptureMode.Snapshot, LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.Auto), Ct).Mode);
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct))
        {
            Assert.Equal(["background snapshot"], view.Origin.Actions);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        }
        SnapshotTests.AssertSound(qemu);
    }

    [Theory]
    [InlineData("", "in QEMU's own /dev")]
    [InlineData("mknod -m 600 /dev/userfaultfd c NUMBER;", "read and write access to /dev/userfaultfd")]
    public void One_that_may_not_is_stopped_and_the_device_is_named(string device, string named)
    {
        using var qemu = StartAsNobody(device);
        var plan = LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.Auto), Ct);
        Assert.Equal(CaptureMode.StopAndCopy, plan.Mode);
        Assert.Contains(named, plan.Reason, StringComparison.Ordinal);
        Assert.Contains("vm.unprivileged_userfaultfd=1", plan.Reason, StringComparison.Ordinal);
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct))
        {
            Assert.Equal(["stop", "copy", "cont"], view.Origin.Actions);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        }
        if (device.Length == 0)
            return;
        // A plan asks QEMU for nothing that it would remember: with the right it makes one, without being started anew.
        LinuxNative.ChangeMode($"/proc/{qemu.ProcessId}/root/dev/userfaultfd", 0x1B6);
        using var snapshot = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(["background snapshot"], snapshot.Origin.Actions);
    }

    /// <summary>QEMU opens the device once, and does without from then on.</summary>
    [Fact]
    public void One_that_was_refused_before_it_might_is_stopped_too()
    {
        using var qemu = StartAsNobody("mknod -m 600 /dev/userfaultfd c NUMBER;");
        Assert.Throws<QmpRefusedException>(() => MigrationSettings.SetCapability((command, arguments) => qemu.Referee.Qmp(command, arguments, Ct), MigrationSettings.Snapshot, true));
        LinuxNative.ChangeMode($"/proc/{qemu.ProcessId}/root/dev/userfaultfd", 0x1B6);
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(["stop", "copy", "cont"], view.Origin.Actions);
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("QEMU makes no background snapshot", StringComparison.Ordinal));
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    [Fact]
    public void Through_libvirt_11_too()
    {
        const string Name = "forengate-newer";
        var target = libvirt.Start(Name, "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>");
        libvirt.WaitForStamps(target);
        var listed = HostGuests.Of(libvirt.Uri, Ct);
        Assert.True(listed.HypervisorVersion >= new Version(10, 0), $"{listed.HypervisorVersion}");
        var (guest, access) = Assert.Single(listed.Guests, each => each.Guest.Name == Name);
        Assert.Equal(CaptureMode.Snapshot, ExpectedPlan.Of(guest, access, listed.HypervisorVersion)?.Mode);
        Assert.Equal("memfd", guest.MemoryFacts?.Backend);

        // By libvirt's own dump first, which leaves no mark.
        using (var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.StopAndCopy) with { Means = CaptureMeans.Libvirt }, null, Ct))
        {
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            Assert.Equal(BareGuest.KernelGsBase, view.Cpus[0].KernelGsBase);
        }
        foreach (var mode in (CaptureMode[])[CaptureMode.Snapshot, CaptureMode.StopAndCopy])
        {
            using var view = LiveCapture.Take(target, libvirt.Options(mode), null, Ct);
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            DeviceStateTests.AssertComplete(view);
            Assert.True(view.Origin.StoodStill > TimeSpan.Zero || mode == CaptureMode.Snapshot);
        }
        Assert.Equal("running", libvirt.State(Name));
        Assert.Empty(GuestRepair.Run(target, new RepairOptions { ConnectUri = libvirt.Uri }, Ct).Found);
        libvirt.AssertSavesAndRestores(Name);
        libvirt.Stop(target);
    }

    [Fact]
    public void Through_libvirt_11_a_guest_that_panics_stands_until_it_is_dumped() =>
        new AlarmLibvirtTests(libvirt).A_guest_that_is_to_be_ended_stands_until_it_is_dumped("destroy", CrashAction.Destroy);
}
