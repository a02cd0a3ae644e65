namespace Forengate.Guests.Tests;

/// <summary>A guest that is migrated while it runs, by QEMU's own hand, to a second QEMU of this host: what a snapshot that left memory protected, or a setting that stayed, would break.</summary>
internal static class LiveMigration
{
    /// <summary>A guest that writes without pause is never done otherwise: QEMU stops it when the rest takes no longer than this.</summary>
    private const int DowntimeMilliseconds = 20_000;

    private const int UsualDowntimeMilliseconds = 300;

    private static readonly CancellationToken Ct = CancellationToken.None;

    /// <summary>The guest goes on where it was, all of it; afterwards it runs here again, and the other is gone.</summary>
    public static void AssertWorks(TestQemu qemu)
    {
        Assert.True(qemu.IsRunning);
        using var other = qemu.Incoming(out var socket);
        var before = qemu.Counter();
        SetDowntime(qemu, DowntimeMilliseconds);
        qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteNumber("max-bandwidth", 10L << 30), Ct);
        qemu.Referee.Qmp("migrate", w => w.WriteString("uri", $"unix:{socket}"), Ct);
        TestQemu.WaitFor(() => !MonitorCommands.IsAtWork(SnapshotTests.Status(qemu)), "the migration");
        Assert.Equal("completed", SnapshotTests.Status(qemu));
        TestQemu.WaitFor(() => other.IsRunning, "the migrated guest");
        Assert.False(qemu.IsRunning);
        var left = qemu.Counter();
        Assert.True(left >= before);
        TestQemu.WaitFor(() => other.Counter() > left + BareGuest.FieldPages, "the migrated guest's counter");
        using (var view = LiveCapture.Take(other.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, Ct))
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        SetDowntime(qemu, UsualDowntimeMilliseconds);
        qemu.Referee.Continue();
        TestQemu.WaitFor(() => qemu.Counter() > left, "the guest to run here again");
    }

    private static void SetDowntime(TestQemu qemu, int milliseconds) => qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteNumber("downtime-limit", milliseconds), Ct);
}
