using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// What the watchdog does when nobody reads a background snapshot any more: reads it to its end (a QEMU before 8.1 hangs the guest when it is cancelled, or its reader goes away), and
/// puts QEMU's settings back.
/// </summary>
internal static unsafe class SnapshotRescue
{
    private const int PollMilliseconds = 100;

    /// <summary>A pipe that stays silent so long while QEMU says that no migration is at work has nothing more to give.</summary>
    private const int IdleMilliseconds = 500;

    private static readonly TimeSpan s_end = TimeSpan.FromSeconds(30);

    /// <summary>A snapshot that sends nothing for so long, of a QEMU that answers, is stuck.</summary>
    private static readonly TimeSpan s_silence = new CaptureOptions().SnapshotSilence;

    /// <summary>Ends the snapshot so that the guest runs and can be saved.</summary>
    /// <param name="rescue">The way to the monitor.</param>
    /// <param name="stream">Reading end of the pipe.</param>
    /// <param name="settings">As they were.</param>
    /// <param name="qemu">QEMU's process.</param>
    /// <returns>Null, or what failed.</returns>
    public static string? Run(GuestRescue rescue, Descriptor stream, MigrationSettings settings, int qemu)
    {
        try
        {
            Drain(rescue, stream, qemu);
            var status = AwaitEnd(rescue, qemu);
            Forget(rescue);
            var leftover = settings.Restore();
            // A snapshot that failed leaves the guest's memory protected, in a QEMU before 8.1.
            if (status is "failed" or "cancelled")
                WriteProtection.Lift(qemu);
            return leftover ?? Resume(rescue);
        }
        catch (GuestException e) when (e.Failure == GuestFailure.Vanished)
        {
            return null;
        }
        catch (Exception e) when (e is IOException or QmpRefusedException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }

    private static void Drain(GuestRescue rescue, Descriptor stream, int qemu)
    {
        const int Size = 1 << 20;
        var buffer = new byte[Size];
        var heard = Environment.TickCount64;
        for (; ; )
        {
            var poll = new LinuxNative.PollDescriptor { Descriptor = stream.Number, Events = LinuxNative.POLLIN };
            if (LinuxNative.Poll(&poll, 1, PollMilliseconds) > 0)
            {
                nint got;
                fixed (byte* start = buffer)
                    got = LinuxNative.Read(stream.Number, start, Size);
                if (got == 0)
                    return;
                heard = Environment.TickCount64;
            }
            else if (Environment.TickCount64 - heard > IdleMilliseconds)
            {
                var asked = Environment.TickCount64;
                if (!MonitorCommands.IsAtWork(Status(rescue, qemu)))
                {
                    // It never began, and QEMU keeps the pipe that it was given for it.
                    return;
                }
                // While QEMU itself was stopped, it was not the snapshot that was silent.
                if (Environment.TickCount64 - asked > IdleMilliseconds)
                    heard = Environment.TickCount64;
                if (Environment.TickCount64 - heard <= s_silence.TotalMilliseconds)
                    continue;
                rescue.Ask("migrate_cancel", null);
                return;
            }
        }
    }

    private static string AwaitEnd(GuestRescue rescue, int qemu)
    {
        var until = Environment.TickCount64 + (long)s_end.TotalMilliseconds;
        for (; ; Thread.Sleep(10))
        {
            var status = Status(rescue, qemu);
            if (!MonitorCommands.IsAtWork(status) || Environment.TickCount64 > until)
                return status;
        }
    }

    /// <summary>Waits for QEMU's word as long as QEMU lives: one that is stopped goes on some time, and then needs a reader.</summary>
    private static string Status(GuestRescue rescue, int qemu)
    {
        for (; ; )
        {
            try
            {
                return rescue.Ask("query-migrate", null).Text("status") ?? "none";
            }
            catch (GuestException e) when (e.Failure != GuestFailure.Vanished && qemu > 0)
            {
                if (LinuxNative.Kill(qemu, 0) != 0 && Marshal.GetLastPInvokeError() == LinuxNative.ESRCH)
                    throw new GuestException(GuestFailure.Vanished, "QEMU has ended", e);
            }
        }
    }

    private static void Forget(GuestRescue rescue)
    {
        try
        {
            rescue.Ask("closefd", writer => writer.WriteString("fdname", SnapshotStream.FileName));
        }
        catch (QmpRefusedException)
        {
            // A snapshot that began has taken it.
        }
    }

    /// <summary>QEMU continues the guest itself after the moment in which it takes the devices' state; it may have failed in that moment.</summary>
    private static string? Resume(GuestRescue rescue)
    {
        var state = MonitorCommands.ParseState(rescue.Ask("query-status", null));
        return state.Running || state.Status is not ("paused" or "finish-migrate" or "postmigrate" or "save-vm") ? null : rescue.Continue(hungParent: 0);
    }
}
