using System.Diagnostics;
using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>All registers of a guest that was stopped and copied, by the state of its devices; and that asking for it leaves nothing behind in the guest.</summary>
public sealed class DeviceStateTests(TestLibvirt libvirt) : IClassFixture<TestLibvirt>
{
    private const int SigKill = 9;

    /// <summary>Longer than a capture takes here, so that every point of it can be hit.</summary>
    private const int LongestMilliseconds = 1000;

    private static readonly CancellationToken Ct = CancellationToken.None;
    private static readonly int s_captures = Asked("FORENGATE_CAPTURES");
    private static readonly int s_kills = Asked("FORENGATE_KILLS");

    private static int Asked(string variable) => int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, null, out var asked) ? asked : 5;

    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    [InlineData("shm")]
    [InlineData("numa")]
    public void A_copy_has_all_registers_of_its_instant(string backend) => AssertCopies(backend);

    internal static void AssertCopies(string backend)
    {
        using var qemu = new TestQemu(SnapshotTests.Machine(backend));
        qemu.WaitForStamps();
        for (var i = 0; i < s_captures; i++)
        {
            using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, Ct);
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            var counter = StampCheck.Counter(view.Memory);
            Assert.InRange(view.Cpus[0].Rax!.Value, counter, counter + 1);
            AssertComplete(view);
        }
        Assert.Equal("none", SnapshotTests.Status(qemu) ?? "none");
        AssertNothingLeft(qemu);
        LiveMigration.AssertWorks(qemu);
        SnapshotTests.AssertSound(qemu);
    }

    [Fact]
    public void All_registers_are_those_of_a_snapshot()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        using var whole = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        using var copy = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, Ct);
        for (var i = 0; i < whole.Cpus.Count; i++)
        {
            var (a, b) = (whole.Cpus[i], copy.Cpus[i]);
            Assert.Equal((a.Star, a.LStar, a.CStar, a.SfMask, a.Pat, a.Efer), (b.Star, b.LStar, b.CStar, b.SfMask, b.Pat, b.Efer));
            Assert.Equal((a.SysenterCs, a.SysenterEsp, a.SysenterEip, a.TscAux, a.Xcr0, a.KernelGsBase), (b.SysenterCs, b.SysenterEsp, b.SysenterEip, b.TscAux, b.Xcr0, b.KernelGsBase));
            Assert.Equal((a.Dr0, a.Dr6, a.Dr7, a.Fcw, a.Fsw, a.Ftw, a.MxCsr, a.Cr8), (b.Dr0, b.Dr6, b.Dr7, b.Fcw, b.Fsw, b.Ftw, b.MxCsr, b.Cr8));
            Assert.Equal(a.St!.Value.ToArray(), b.St!.Value.ToArray());
            Assert.Equal(a.Xmm!.Value.ToArray(), b.Xmm!.Value.ToArray());
            Assert.Equal(a.YmmHigh!.Value.ToArray(), b.YmmHigh!.Value.ToArray());
        }
    }

    /// <summary>The disk's lock is QEMU's all the time, and what the device writes afterwards is there: what a migration would give away for a while.</summary>
    [Fact]
    public void The_disk_stays_the_guests()
    {
        const string Image = "/usr/bin/qemu-img";
        const string Tool = "/usr/bin/qemu-io";
        if (!File.Exists(Image) || !File.Exists(Tool))
            Assert.Skip("qemu-utils are not installed");
        using var qemu = new TestQemu(
            [
                .. SnapshotTests.Machine("memfd"), "-blockdev", "file,filename=FOLDER/disk,node-name=file", "-blockdev", "qcow2,file=file,node-name=disk",
                "-device", "virtio-blk-pci,drive=disk,share-rw=on",
            ],
            folder => Assert.Equal(0, Run(Image, "create", "-q", "-f", "qcow2", Path.Combine(folder, "disk"), "16M")));
        qemu.WaitForStamps();
        var disk = Path.Combine(qemu.Folder, "disk");
        for (var round = 1; round <= 3; round++)
        {
            using (var held = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.HoldStopped), null, Ct))
            {
                AssertComplete(held);
                Assert.NotEqual(0, Run(Tool, "-f", "qcow2", "-c", "write -P 9 0 4k", disk));
            }
            using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, Ct))
                AssertComplete(view);
            Assert.True(qemu.IsRunning);
            Assert.NotEqual(0, Run(Tool, "-f", "qcow2", "-c", "write -P 9 0 4k", disk));
            // QEMU's own words of it go to its output; an error comes as the answer.
            Assert.Equal("", qemu.Referee.Human($"qemu-io disk \"write -P {round} {round}M 64k\"", Ct).Trim());
        }
        SnapshotTests.AssertSound(qemu);
        qemu.Referee.TryQmp("quit", null, Ct);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU to end");
        for (var round = 1; round <= 3; round++)
            Assert.Equal(0, Run(Tool, "-r", "-f", "qcow2", "-c", $"read -P {round} {round}M 64k", disk));
        Assert.Equal(0, Run(Image, "check", "-q", disk));
    }

    [Fact]
    public void Killed_at_any_point_the_guest_runs_on_and_the_next_one_clears_up()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("memfd"));
        qemu.WaitForStamps();
        for (var kill = 0; kill < s_kills; kill++)
        {
            var wait = ((kill % 5) + Random.Shared.NextDouble()) * LongestMilliseconds / 5;
            using var victim = WatchdogTests.StartVictim(SnapshotVictim.StopVerb, qemu.Target.ToString());
            Assert.Equal("begun", victim.StandardOutput.ReadLine());
            // Every other time for sure while the guest stands still, or QEMU has the file.
            if (kill % 2 == 1)
            {
                TestQemu.WaitFor(() => !qemu.IsRunning, "the guest to be stopped");
                wait /= 100;
            }
            Thread.Sleep((int)wait);
            WatchdogTests.Signal(victim.Id, SigKill);
            SnapshotWatchdogTests.AssertAdvancesWithinASecond(qemu, wait);
            victim.WaitForExit();
            TestQemu.WaitFor(() => SnapshotWatchdogTests.IsFree(qemu), "the watchdog to end");
            SnapshotTests.AssertSound(qemu);
            using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, Ct))
            {
                Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
                AssertComplete(view);
            }
            AssertNothingLeft(qemu);
        }
        LiveMigration.AssertWorks(qemu);
    }

    [Fact]
    public void Under_libvirt_it_is_the_same_and_the_guest_can_be_saved_and_restored()
    {
        const string Name = "forengate-devices";
        var target = libvirt.Start(Name, "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>");
        using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.StopAndCopy), null, Ct);
        Assert.NotNull(view.Cpus[0].Pat);
        Assert.NotNull(view.Cpus[0].LStar);
        Assert.DoesNotContain(view.Origin.Remarks, remark => remark.Contains(DeviceStateFile.Missing, StringComparison.Ordinal));
        Assert.Equal("running", libvirt.State(Name));
        Assert.Contains("\"return\":[]", libvirt.Virsh("qemu-monitor-command", Name, "{\"execute\":\"query-fdsets\"}"), StringComparison.Ordinal);
        libvirt.AssertSavesAndRestores(Name);
        using var again = LiveCapture.Take(target, libvirt.Options(CaptureMode.StopAndCopy), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(again.Memory));
        AssertComplete(again);
    }

    /// <summary>A guest that can't be migrated is not asked; the plan and the view say what is missing.</summary>
    [Fact]
    public void A_guest_that_cannot_be_migrated_is_not_asked()
    {
        using var qemu = new TestQemu([.. SnapshotTests.Machine("anonymous"), "-cpu", "max,+invtsc", "-device", "ivshmem-plain,memdev=s,master=off", "-object", "memory-backend-ram,id=s,size=1M,share=on"]);
        qemu.WaitForStamps();
        if (SnapshotFacts.MigrationObstacle(qemu.Referee, Ct) is not { } obstacle)
        {
            Assert.Skip("this QEMU migrates all of it");
            return;
        }
        var plan = LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), Ct);
        Assert.Contains(plan.Facts, fact => fact.Contains(DeviceStateFile.Missing, StringComparison.Ordinal) && fact.Contains(obstacle, StringComparison.Ordinal));
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, Ct);
        Assert.Null(view.Cpus[0].LStar);
        Assert.Equal(BareGuest.KernelGsBase, view.Cpus[0].KernelGsBase);
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains(DeviceStateFile.Missing, StringComparison.Ordinal));
    }

    [Fact]
    public void What_disagrees_with_the_monitor_is_not_believed()
    {
        var read = new CpuState { Index = 1, Rip = 1, Efer = 0xD01, KernelGsBase = 7 };
        Assert.Null(CpuReader.Disagreement(read, read));
        Assert.Contains("EFER", CpuReader.Disagreement(read, read with { Efer = 0x501 }), StringComparison.Ordinal);
        Assert.Contains("KERNEL_GS_BASE", CpuReader.Disagreement(read, read with { KernelGsBase = null }), StringComparison.Ordinal);
    }

    internal static void AssertComplete(View view)
    {
        Assert.DoesNotContain(view.Origin.Remarks, remark => remark.Contains(DeviceStateFile.Missing, StringComparison.Ordinal));
        var cpu = view.Cpus[0];
        Assert.Equal((BareGuest.LStar, BareGuest.KernelGsBase, 0xD01UL, BareGuest.Dr0), (cpu.LStar, cpu.KernelGsBase, cpu.Efer, cpu.Dr0));
        Assert.True(cpu.Xmm!.Value.Span.Slice(7 * 16, 16).SequenceEqual(BareGuest.Xmm7));
        Assert.All(view.Cpus, each =>
        {
            // What every CPU begins with (Intel SDM vol. 3, 12.12.4).
            Assert.Equal(0x0007_0406_0007_0406UL, each.Pat);
            Assert.NotNull(each.YmmHigh);
            Assert.NotNull(each.Star);
            Assert.NotNull(each.SysenterEip);
        });
    }

    private static void AssertNothingLeft(TestQemu qemu) => Assert.Empty(qemu.Referee.Qmp("query-fdsets", null, Ct).Items());

    private static int Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode;
    }
}
