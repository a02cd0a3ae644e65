using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json;

namespace Forengate.Guests.Tests;

/// <summary>A guest that a cancelled background snapshot hung (QEMU before 8.1), and other leftovers of captures, set right from outside.</summary>
public sealed class RepairTests
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    [Fact]
    public void A_guest_hung_by_a_cancelled_snapshot_runs_again_and_can_be_saved()
    {
        using var qemu = new TestQemu("-m", "128", "-kernel", "IMAGE");
        if (SnapshotFacts.QemuVersion(qemu.Referee, Ct) >= SnapshotFacts.CancelSafeSince)
            Assert.Skip("this QEMU hangs no guest (NewerQemuTests)");
        qemu.WaitForStamps();
        // A reader that does not read: the snapshot is at work when it is cancelled.
        var path = Path.Combine(qemu.Folder, "stream");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen(1);
        Capability(qemu, true);
        try
        {
            qemu.Referee.Qmp("migrate", w => w.WriteString("uri", $"unix:{path}"), Ct);
        }
        catch (QmpRefusedException e)
        {
            Assert.Skip($"this host's QEMU makes no background snapshot: {e.Message}");
        }
        using var reader = listener.Accept();
        TestQemu.WaitFor(() => Status(qemu) is "active" or "failed", "the snapshot");
        if (Status(qemu) == "failed")
            Assert.Skip("this host's QEMU makes no background snapshot: it failed at once");

        var atWork = GuestRepair.Run(qemu.Target, new RepairOptions(), Ct);
        Assert.True(atWork.Busy);
        Assert.Empty(atWork.Done);

        qemu.Referee.Qmp("migrate_cancel", null, Ct);
        TestQemu.WaitFor(() => Status(qemu) is "cancelled" or "failed", "the snapshot's end");
        TestQemu.WaitFor(() => Stands(qemu), "the guest to hang");

        var looked = GuestRepair.Run(qemu.Target, new RepairOptions { OnlyLook = true }, Ct);
        Assert.Contains(looked.Found, line => line.Contains("write-protected", StringComparison.Ordinal));
        Assert.Empty(looked.Done);
        Assert.True(Stands(qemu));

        var repaired = GuestRepair.Run(qemu.Target, new RepairOptions(), Ct);
        Assert.Equal(2, repaired.Done.Count(line => line.Contains("lifted", StringComparison.Ordinal) || line.Contains("threw it away", StringComparison.Ordinal)));
        Assert.False(Stands(qemu));
        Assert.Empty(GuestRepair.Run(qemu.Target, new RepairOptions(), Ct).Found);

        // Saved as libvirt does it: stopped first.
        qemu.Referee.Stop(Ct);
        qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteNumber("max-bandwidth", 10L << 30), Ct);
        qemu.Referee.Qmp("migrate", w => w.WriteString("uri", $"exec:cat > {Path.Combine(qemu.Folder, "saved")}"), Ct);
        TestQemu.WaitFor(() => Status(qemu) == "completed", "the save");
        qemu.Referee.Continue();
        Assert.False(Stands(qemu));
    }

    [Fact]
    public void A_paused_guest_is_continued_only_when_asked()
    {
        using var qemu = new TestQemu("-m", "32");
        qemu.Referee.Stop(Ct);
        var looked = GuestRepair.Run(qemu.Target, new RepairOptions(), Ct);
        Assert.Contains(looked.Found, line => line.Contains("stands still", StringComparison.Ordinal));
        Assert.False(qemu.IsRunning);
        Assert.Equal(["continued the guest"], GuestRepair.Run(qemu.Target, new RepairOptions { Resume = true }, Ct).Done);
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void A_sound_guest_is_left_alone()
    {
        using var qemu = new TestQemu("-m", "32");
        var report = GuestRepair.Run(qemu.Target, new RepairOptions { Resume = true }, Ct);
        Assert.Empty(report.Found);
        Assert.Empty(report.Done);
        Assert.Equal(qemu.ProcessId, report.ProcessId);
    }

    /// <summary>The guest's counter, read from outside without the monitor, does not move for a while.</summary>
    private static bool Stands(TestQemu qemu)
    {
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        using var memory = new LiveMemory(session.Map, session.Process, standing: false);
        var before = StampCheck.Counter(memory);
        for (var waited = Stopwatch.StartNew(); waited.ElapsedMilliseconds < 700; Thread.Sleep(20))
        {
            if (StampCheck.Counter(memory) != before)
                return false;
        }
        return true;
    }

    private static string? Status(TestQemu qemu) => qemu.Referee.Qmp("query-migrate", null, Ct).Text("status");

    private static void Capability(TestQemu qemu, bool state) => qemu.Referee.Qmp("migrate-set-capabilities", w =>
    {
        w.WriteStartArray("capabilities");
        w.WriteStartObject();
        w.WriteString("capability", "background-snapshot");
        w.WriteBoolean("state", state);
        w.WriteEndObject();
        w.WriteEndArray();
    }, Ct);
}
