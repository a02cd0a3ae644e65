using System.Net.Sockets;
using System.Text;

namespace Forengate.Guests.Tests;

/// <summary>A snapshot that fails while nobody but the watchdog is left: the guest runs at once, and is saved, migrated and captured again, which a QEMU before 8.1 needs healing for.</summary>
public sealed class HealingTests(SnapshotLibvirt libvirt) : IClassFixture<SnapshotLibvirt>
{
    private const int SigKill = 9;
    private const int SigStop = 19;
    private const int SigCont = 18;

    /// <summary>A capture may be over just before it is hit; then the next one is tried.</summary>
    private const int Tries = 50;

    private static readonly CancellationToken Ct = CancellationToken.None;

    [Theory]
    [InlineData("anonymous")]
    [InlineData("memfd")]
    public void A_snapshot_that_another_cancels_after_a_kill_is_healed_by_the_watchdog(string backend)
    {
        using var qemu = new TestQemu(SnapshotTests.Machine(backend));
        qemu.WaitForStamps();
        KillAndCancel(
            qemu.Target, null, () => SnapshotTests.Status(qemu), () => qemu.Referee.Qmp("migrate_cancel", null, Ct),
            () => TestQemu.WaitFor(() => SnapshotWatchdogTests.IsFree(qemu), "the watchdog to end"));
        SnapshotWatchdogTests.AssertAdvancesWithinASecond(qemu);
        // The healing one was the last, and is over.
        Assert.Equal("completed", SnapshotTests.Status(qemu));
        Assert.Empty(WriteProtection.RangesOf(qemu.ProcessId));
        LiveMigration.AssertWorks(qemu);
        SnapshotTests.AssertSound(qemu);
        using var again = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(again.Memory));
    }

    [Fact]
    public void Under_libvirt_it_is_healed_too()
    {
        const string Name = "forengate-healed";
        var target = libvirt.Start(Name);
        string? Ask(string command) => libvirt.Virsh("qemu-monitor-command", Name, $"{{\"execute\":\"{command}\"}}");
        KillAndCancel(target, libvirt.Uri, () => Status(Ask("query-migrate")), () => Ask("migrate_cancel"), static () => { });
        Assert.Equal("completed", Status(Ask("query-migrate")));
        Assert.Equal("running", libvirt.State(Name));
        libvirt.AssertSavesAndRestores(Name);
        using var view = LiveCapture.Take(target, libvirt.Options(CaptureMode.Snapshot), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    /// <summary>QEMU itself calls it failed: its pipe has no reader any more.</summary>
    [Fact]
    public void A_snapshot_that_fails_is_healed()
    {
        using var qemu = new TestQemu(SnapshotTests.Machine("anonymous"));
        qemu.WaitForStamps();
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(qemu.Socket));
        socket.Send(Encoding.ASCII.GetBytes("{\"execute\":\"qmp_capabilities\"}\n"));
        using (var rescue = new QmpRescue(new Descriptor(TestDescriptors.Duplicate((int)socket.Handle))))
        {
            var settings = MigrationSettings.Read(rescue.Ask);
            var (reading, writing) = SnapshotStream.MakePipe();
            settings.Apply();
            rescue.PassDescriptor(SnapshotStream.FileName, writing.Number);
            rescue.Ask("migrate", w => w.WriteString("uri", "fd:" + SnapshotStream.FileName));
            TestQemu.WaitFor(() => SnapshotTests.Status(qemu) == "active", "a snapshot at work");
            reading.Dispose();
            TestQemu.WaitFor(() => SnapshotTests.Status(qemu) == "failed", "the snapshot to fail");
            TestQemu.WaitFor(() => WriteProtection.RangesOf(qemu.ProcessId).Count > 0, "memory that stayed protected");
            var (ended, writer) = SnapshotStream.MakePipe();
            writer.Dispose();
            writing.Dispose();
            using (ended)
                Assert.Null(SnapshotRescue.Run(rescue, ended, settings, qemu.ProcessId));
        }
        socket.Dispose();
        SnapshotWatchdogTests.AssertAdvancesWithinASecond(qemu);
        LiveMigration.AssertWorks(qemu);
        SnapshotTests.AssertSound(qemu);
        using var again = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        Assert.Equal(0, StampCheck.Disagreeing(again.Memory));
    }

    /// <summary>Both are held back until the snapshot has been cancelled, so that it is the watchdog that has to deal with it.</summary>
    private static void KillAndCancel(GuestTarget target, string? uri, Func<string?> status, Action cancel, Action awaitEnd)
    {
        for (var attempt = 0; attempt < Tries; attempt++)
        {
            using var victim = WatchdogTests.StartVictim(uri is null ? [SnapshotVictim.Verb, target.ToString()] : [SnapshotVictim.Verb, target.ToString(), uri]);
            Assert.Equal("begun", victim.StandardOutput.ReadLine());
            TestQemu.WaitFor(() => status() == "active", "a snapshot at work");
            var watchdogs = WatchdogTests.ChildrenOf(victim.Id);
            watchdogs.ForEach(id => WatchdogTests.Signal(id, SigStop));
            WatchdogTests.Signal(victim.Id, SigKill);
            victim.WaitForExit();
            cancel();
            // One whose last bytes were in the pipe is over.
            var hit = status() is "cancelling" or "cancelled";
            watchdogs.ForEach(id => WatchdogTests.Signal(id, SigCont));
            TestQemu.WaitFor(() => watchdogs.TrueForAll(id => !WatchdogTests.IsAlive(id)), "the watchdog to end");
            awaitEnd();
            if (hit)
                return;
        }
        Assert.Fail("no capture was hit while QEMU was sending");
    }

    private static string? Status(string? answer) => answer is null ? null : MonitorCommands.ReturnOf("libvirt", "query-migrate", answer).Text("status");
}
