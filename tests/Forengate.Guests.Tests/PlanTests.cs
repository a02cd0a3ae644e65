using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>How a view is taken is picked from what the guest and its host allow; what they don't is named, with what would.</summary>
public sealed class PlanTests(TestLibvirt libvirt) : IClassFixture<TestLibvirt>
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    [Fact]
    public void A_snapshot_is_planned_where_it_can_be_and_nothing_is_changed()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        var plan = LiveCapture.Plan(qemu.Target, new CaptureOptions { Mode = CaptureMode.Auto }, Ct);
        Assert.Equal(CaptureMode.Snapshot, plan.Mode);
        Assert.Equal(["snapshot", "stop", "live"], plan.Ways.Select(way => way.Name));
        Assert.All(plan.Ways, way => Assert.Null(way.Obstacle));
        Assert.InRange(plan.Ways[0].HostMemory, 95UL << 20, 96UL << 20);
        Assert.Contains(plan.Facts, fact => fact.Contains("anonymous memory", StringComparison.Ordinal));
        Assert.Null(qemu.Referee.LastStopByEvents);
        Assert.Null(SnapshotTests.Status(qemu));
        Assert.Equal(CaptureMode.StopAndCopy, LiveCapture.Plan(qemu.Target, new CaptureOptions(), Ct).Mode);
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(["background snapshot"], view.Origin.Actions);
    }

    [Fact]
    public void Where_the_host_forbids_it_the_guest_is_stopped_and_the_right_is_named()
    {
        if (File.ReadAllText("/proc/sys/vm/unprivileged_userfaultfd").Trim() != "0")
            Assert.Skip("this host lets every process track its memory");
        // This libvirt's QEMU is no root's.
        var target = libvirt.Start("forengate-forbidden");
        TestQemu.WaitFor(
            () =>
            {
                using var live = LiveCapture.Take(target, libvirt.Options(CaptureMode.Live), null, Ct);
                return StampCheck.Counter(live.Memory) > 2 * BareGuest.FieldPages;
            },
            "the guest's counter");
        var refused = Assert.Throws<GuestException>(() => LiveCapture.Take(target, libvirt.Options(CaptureMode.Snapshot), null, Ct));
        Assert.Equal(GuestFailure.NoRights, refused.Failure);
        Assert.Contains("vm.unprivileged_userfaultfd=1", refused.Message, StringComparison.Ordinal);
        using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(["stop", "copy", "cont"], view.Origin.Actions);
        Assert.Contains(view.Origin.Remarks, r => r.Contains("vm.unprivileged_userfaultfd=1", StringComparison.Ordinal));
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        Assert.Equal("running", libvirt.State("forengate-forbidden"));
    }

    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    public void A_QEMU_of_nobodys_without_rights_is_stopped_and_copied_and_what_would_allow_more_is_named(string backend)
    {
        if (File.ReadAllText("/proc/sys/vm/unprivileged_userfaultfd").Trim() != "0")
            Assert.Skip("this host lets every process track its memory");
        using var qemu = TestQemu.Unprivileged(null, SnapshotTests.Machine(backend));
        qemu.WaitForStamps();
        var plan = LiveCapture.Plan(qemu.Target, new CaptureOptions { Mode = CaptureMode.Auto }, Ct);
        Assert.Equal(CaptureMode.StopAndCopy, plan.Mode);
        Assert.Contains("vm.unprivileged_userfaultfd=1", plan.Reason, StringComparison.Ordinal);
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct))
        {
            Assert.Equal(["stop", "copy", "cont"], view.Origin.Actions);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            Assert.InRange(view.Cpus[0].Rax!.Value, StampCheck.Counter(view.Memory), StampCheck.Counter(view.Memory) + 1);
            Assert.Contains(view.Origin.Remarks, r => r.Contains("vm.unprivileged_userfaultfd=1", StringComparison.Ordinal));
        }
        Assert.Throws<GuestException>(() => LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct));
        SnapshotTests.AssertSound(qemu);
    }

    [Fact]
    public void One_capability_is_enough_for_a_QEMU_of_nobodys()
    {
        using var qemu = TestQemu.Unprivileged("+sys_ptrace", SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct))
        {
            Assert.Equal(["background snapshot"], view.Origin.Actions);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        }
        SnapshotTests.AssertSound(qemu);
    }

    /// <summary>As in a rootless container: all capabilities, and none that the kernel asks for.</summary>
    [Fact]
    public void A_QEMU_in_a_user_namespace_of_its_own_may_not_though_its_capabilities_say_so()
    {
        if (File.ReadAllText("/proc/sys/vm/unprivileged_userfaultfd").Trim() != "0")
            Assert.Skip("this host lets every process track its memory");
        if (!Environment.IsPrivilegedProcess)
            Assert.Skip("only root can start another user's QEMU");
        using var qemu = TestQemu.Within([.. TestQemu.Nobody, "unshare", "--user", "--map-root-user"], SnapshotTests.Machine("memfd"));
        qemu.WaitForStamps();
        var plan = LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.Auto), Ct);
        Assert.Equal(CaptureMode.StopAndCopy, plan.Mode);
        Assert.Contains("vm.unprivileged_userfaultfd=1", plan.Reason, StringComparison.Ordinal);
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct))
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        SnapshotTests.AssertSound(qemu);
    }

    /// <summary>As in a container: memory and a monitor in files that only QEMU's mount namespace has, where nobody would look for shared memory, and process numbers of its own.</summary>
    [Fact]
    public void Shared_memory_that_only_QEMU_can_name_is_known_and_read_in_place()
    {
        if (!Environment.IsPrivilegedProcess)
            Assert.Skip("only root can give QEMU mounts of its own");
        using var qemu = TestQemu.Within(
            ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", "mkdir FOLDER/ram && mount -t tmpfs tmpfs FOLDER/ram && exec \"$@\"", "sh"],
            "-M", "q35,memory-backend=m", "-m", "96", "-object", "memory-backend-file,id=m,size=96M,share=on,mem-path=FOLDER/ram/guest", "-kernel", "IMAGE",
            "-qmp", "unix:FOLDER/ram/qmp,server=on,wait=off");
        qemu.WaitForStamps();
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(qemu.Folder, "ram")));
        AssertShared(qemu);
        int id;
        using (var session = GuestSession.Open(qemu.Target, null, Ct))
            id = session.Process.Id;
        Assert.NotEqual(qemu.ProcessId, id);
        using (var view = LiveCapture.Take(new GuestTarget(GuestTargetKind.Qmp, $"/proc/{id}/root{qemu.Folder}/ram/qmp"), TestQemu.Options(CaptureMode.Snapshot), null, Ct))
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        using var process = ProcessCapture.Take(new ProcessTarget(id), null);
        var before = StampCheck.Counter(process.Memory);
        TestQemu.WaitFor(() => StampCheck.Counter(process.Memory) > before, "the counter to be seen rising");
    }

    /// <summary>What the kernel calls /dev/zero, or a memfd of QEMU's own making.</summary>
    [Fact]
    public void Memory_that_is_shared_without_a_file_is_known_too()
    {
        using var qemu = new TestQemu("-M", "q35,memory-backend=m", "-m", "96", "-object", "memory-backend-ram,id=m,size=96M,share=on", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        AssertShared(qemu);
    }

    private static void AssertShared(TestQemu qemu)
    {
        var plan = LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.Auto), Ct);
        Assert.Equal(CaptureMode.Snapshot, plan.Mode);
        Assert.Contains(plan.Facts, fact => fact.Contains("shared memory", StringComparison.Ordinal));
        foreach (var mode in (CaptureMode[])[CaptureMode.Snapshot, CaptureMode.StopAndCopy, CaptureMode.HoldStopped])
        {
            using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(mode), null, Ct);
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            if (mode == CaptureMode.HoldStopped)
                Assert.Equal(Page.Size, view.Memory.Map(new PhysicalAddress(BareGuest.Field), Page.Size).Length);
        }
        SnapshotTests.AssertSound(qemu);
    }

    [Fact]
    public void Memory_in_a_file_on_a_disk_is_planned_around()
    {
        using var qemu = new TestQemu(
            "-M", "q35,memory-backend=m", "-m", "96", "-object", "memory-backend-file,id=m,size=96M,share=on,mem-path=FOLDER/ram", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        var plan = LiveCapture.Plan(qemu.Target, new CaptureOptions { Mode = CaptureMode.Auto }, Ct);
        if (plan.Mode == CaptureMode.Snapshot)
            Assert.Skip("the folder for temporary files is no disk");
        Assert.Equal(CaptureMode.StopAndCopy, plan.Mode);
        Assert.Contains("file on a disk", plan.Reason, StringComparison.Ordinal);
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    [Fact]
    public void A_device_that_can_not_be_migrated_is_fallen_back_from_and_named()
    {
        using var qemu = new TestQemu(
            [.. SnapshotTests.Machine("anonymous"), "-blockdev", "driver=null-co,node-name=d,read-zeroes=on", "-device", "nvme,serial=1,drive=d"]);
        qemu.WaitForStamps();
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct))
        {
            if (view.Origin.Actions.Contains("background snapshot"))
                Assert.Skip("this QEMU can migrate an NVMe disk");
            Assert.Equal(["stop", "copy", "cont"], view.Origin.Actions);
            Assert.Contains(view.Origin.Remarks, r => r.Contains("non-migratable device", StringComparison.Ordinal));
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        }
        var refused = Assert.Throws<GuestException>(() => LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct));
        Assert.Contains("nvme", refused.Message, StringComparison.Ordinal);
        Assert.False(SnapshotTests.Capability(qemu, MigrationSettings.Snapshot));
        Assert.True(qemu.IsRunning);
    }

    /// <summary>What an administrator set for a migration, and did not take back.</summary>
    [Theory]
    [InlineData("tls-creds", "nobody", "")]
    [InlineData("mode", "cpr-reboot", "normal")]
    public void A_parameter_that_makes_another_thing_of_it_is_named(string parameter, string value, string harmless)
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("memfd"));
        qemu.WaitForStamps();
        if (qemu.Referee.Qmp("query-migrate-parameters", null, Ct).Text(parameter) is null)
            Assert.Skip($"this QEMU knows no {parameter}");
        void Set(string to) => qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteString(parameter, to), Ct);
        Set(value);
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct))
        {
            Assert.Equal(["stop", "copy", "cont"], view.Origin.Actions);
            Assert.Contains(view.Origin.Remarks, remark => remark.Contains($"{parameter}: {value}", StringComparison.Ordinal));
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            DeviceStateTests.AssertComplete(view);
        }
        Set(harmless);
        using var snapshot = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(["background snapshot"], snapshot.Origin.Actions);
    }

    [Fact]
    public void No_way_within_the_allowed_pause_is_an_error_with_both_reasons()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        var options = TestQemu.Options(CaptureMode.Auto) with { MaxPause = TimeSpan.FromTicks(1) };
        Assert.Null(LiveCapture.Plan(qemu.Target, options, Ct).Mode);
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(qemu.Target, options, null, Ct));
        Assert.Equal(GuestFailure.TooSlow, e.Failure);
        Assert.Contains("snapshot: ", e.Message, StringComparison.Ordinal);
        Assert.Contains("stop: ", e.Message, StringComparison.Ordinal);
        Assert.Null(qemu.Referee.LastStopByEvents);
    }

    [Fact]
    public void A_guest_that_stands_still_is_read_in_place()
    {
        using var qemu = new TestQemu("-m", "32", "-S");
        var plan = LiveCapture.Plan(qemu.Target, new CaptureOptions { Mode = CaptureMode.Auto }, Ct);
        Assert.Equal(CaptureMode.HoldStopped, plan.Mode);
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto), null, Ct);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.False(qemu.IsRunning);
    }

    [Theory]
    [InlineData(false, 0UL, "/dev/zero (deleted)", RamBackend.Anonymous)]
    [InlineData(true, 7UL, "/memfd:memory-backend-memfd (deleted)", RamBackend.SharedMemory)]
    [InlineData(true, 7UL, "/dev/shm/qemu_back_mem.m.x (deleted)", RamBackend.SharedMemory)]
    [InlineData(true, 7UL, "/dev/hugepages/libvirt/qemu/1-x (deleted)", RamBackend.HugePages)]
    [InlineData(true, 7UL, "/anon_hugepage (deleted)", RamBackend.HugePages)]
    [InlineData(true, 7UL, "/dev/zero (deleted)", RamBackend.SharedMemory)]
    [InlineData(true, 7UL, "/var/lib/libvirt/qemu/ram/1-x/ram-node0", RamBackend.File)]
    public void Backends_are_told_by_their_mappings(bool shared, ulong inode, string path, object backend) =>
        Assert.Equal(backend, SnapshotFacts.BackendOf(new ProcessMapping(0, 0x1000, shared, 0, "00:01", inode, path)));
}
