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

    /// <summary>How often a healing snapshot is begun: it may be cancelled like the one before it.</summary>
    internal const int Attempts = 3;

    /// <summary>Ends the snapshot so that the guest runs, and can be saved and migrated.</summary>
    /// <param name="rescue">The way to the monitor.</param>
    /// <param name="stream">Reading end of the pipe.</param>
    /// <param name="settings">As they were.</param>
    /// <param name="qemu">QEMU's process.</param>
    /// <returns>Null, or what failed.</returns>
    public static string? Run(GuestRescue rescue, Descriptor stream, MigrationSettings settings, int qemu)
    {
        try
        {
            var trouble = End(rescue, stream, settings, qemu, out var lifted);
            return trouble ?? (lifted ? Heal(rescue, qemu) : null);
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

    /// <summary>Waits for the end of a snapshot, reading it, and sets the guest free.</summary>
    /// <param name="rescue">The way to the monitor.</param>
    /// <param name="stream">Reading end of the pipe.</param>
    /// <param name="settings">To put back.</param>
    /// <param name="qemu">QEMU's process.</param>
    /// <param name="lifted">True when it failed and QEMU left memory protected, which it is no more, though QEMU still believes so.</param>
    /// <returns>Null, or what failed.</returns>
    private static string? End(GuestRescue rescue, Descriptor stream, MigrationSettings settings, int qemu, out bool lifted)
    {
        Drain(rescue, stream, qemu);
        var status = AwaitEnd(rescue, stream, qemu);
        string? trouble = null;
        lifted = false;
        try
        {
            // A snapshot that failed leaves the guest's memory protected, in a QEMU before 8.1: who writes waits, so this comes first.
            lifted = status is "failed" or "cancelled" && WriteProtection.LeftIn(qemu, SnapshotFacts.VersionIn(rescue.Ask("query-version", null))).Count != 0 && WriteProtection.Lift(qemu) != 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            trouble = e.Message;
        }
        Forget(rescue);
        var leftover = settings.Restore();
        return trouble ?? leftover ?? Resume(rescue);
    }

    /// <summary>
    /// QEMU itself still believes its memory protected, and would fail the next save or migration over it. A snapshot that is read to its end, to no purpose but this, makes it forget.
    /// </summary>
    private static string? Heal(GuestRescue rescue, int qemu)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var settings = MigrationSettings.Read(rescue.Ask);
            var (reading, writing) = SnapshotStream.MakePipe();
            using (reading)
            {
                try
                {
                    using (writing)
                        Begin(rescue, settings, writing);
                }
                catch (QmpRefusedException refused)
                {
                    // A command that was said again because its answer was late is refused the second time.
                    if (Status(rescue, qemu) is not "completed" and var status && !MonitorCommands.IsAtWork(status))
                    {
                        Forget(rescue);
                        settings.Restore();
                        return Unhealed(refused.Message);
                    }
                }
                var trouble = End(rescue, reading, settings, qemu, out _);
                if (trouble is not null || Status(rescue, qemu) == "completed")
                    return trouble;
            }
        }
        return Unhealed(FailedEachTime);
    }

    private static void Begin(GuestRescue rescue, MigrationSettings settings, Descriptor writing)
    {
        settings.Apply();
        rescue.PassDescriptor(SnapshotStream.FileName, writing.Number);
        rescue.Ask("migrate", writer => writer.WriteString("uri", "fd:" + SnapshotStream.FileName));
    }

    internal const string FailedEachTime = "each snapshot that was to heal it failed";

    internal static string Unhealed(string why) => $"the guest runs, but this QEMU may fail to save or migrate it until it is started anew: {why}";

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

    private static string AwaitEnd(GuestRescue rescue, Descriptor stream, int qemu)
    {
        const int Size = 1 << 16;
        var buffer = new byte[Size];
        var until = Environment.TickCount64 + (long)s_end.TotalMilliseconds;
        for (; ; Thread.Sleep(10))
        {
            // One that was cancelled while it was silent may wake up, and must not wait for a reader then.
            SnapshotStream.Discard(stream, buffer);
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
