using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// The process that continues a guest when Forengate died (killed with -9 included), hangs past its deadline, or handed over. It lives in a session of its own, so Ctrl-C does
/// not reach it; it acts only between "stopping" and "resumed"; and it always ends: on "bye", when its parent is gone, and after it has acted.
/// </summary>
public static unsafe class Watchdog
{
    /// <summary>The hidden verb. A program whose first argument is this calls <see cref="RunAsChild"/> before anything else.</summary>
    public const string Verb = "watchdog";

    private const int PollMilliseconds = 100;

    /// <summary>Runs as the watchdog.</summary>
    /// <param name="arguments">What stands behind the verb.</param>
    /// <returns>The exit code: 0 when nothing had to be done or the guest was continued, 1 when it could not be, 2 for a wrong command line.</returns>
    public static int RunAsChild(ReadOnlySpan<string> arguments)
    {
        if (arguments is [HoldMessages.GuardOption, var guard])
            return HoldKeeper.RunAsChild(guard);
        var parent = 0;
        GuestTarget? target = null;
        string? uri = null;
        var (qemu, stream) = (0, -1);
        for (var i = 0; i + 1 < arguments.Length; i += 2)
        {
            switch (arguments[i])
            {
                case WatchdogMessages.ParentOption:
                    _ = int.TryParse(arguments[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out parent);
                    break;
                case WatchdogMessages.TargetOption:
                    _ = GuestTarget.TryParse(arguments[i + 1], out target);
                    break;
                case WatchdogMessages.QemuOption:
                    _ = int.TryParse(arguments[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out qemu);
                    break;
                case WatchdogMessages.StreamOption:
                    _ = int.TryParse(arguments[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out stream);
                    break;
                case WatchdogMessages.UriOption:
                    uri = arguments[i + 1];
                    break;
                default:
                    break;
            }
        }
        if (parent <= 0 || target is null)
        {
            Console.Error.WriteLine("forengate: watchdog is started by forengate itself");
            return 2;
        }
        try
        {
            return Run(parent, target, uri, qemu, stream);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            Console.Error.WriteLine($"forengate: watchdog of {target}: {e.Message}");
            return 1;
        }
    }

    private static int Run(int parent, GuestTarget target, string? uri, int qemu, int stream)
    {
        using var control = new ControlSocket(new Descriptor(WatchdogMessages.ControlDescriptor));
        using var parentIdentity = new Descriptor(LinuxNative.OpenProcess(parent));
        var terminated = false;
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Ignore);
        using var quit = PosixSignalRegistration.Create(PosixSignal.SIGQUIT, Ignore);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Ignore);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            Volatile.Write(ref terminated, true);
        });
        // Everything that may fail or take time happens before "ready".
        using var rescue = GuestRescue.Prepare(target, uri);
        if (LinuxNative.ParentProcess() != parent)
            return 0;
        using var pipe = new Descriptor(stream);
        control.Send(WatchdogMessages.Ready);
        long? deadline = null;
        MigrationSettings? snapshot = null;
        var patience = 0L;
        Starvation? starvation = null;
        for (; ; )
        {
            switch (control.Receive(Wait(deadline))?.Split(' '))
            {
                case [WatchdogMessages.Stopping, var milliseconds]:
                    deadline = Environment.TickCount64 + (long.TryParse(milliseconds, NumberStyles.None, CultureInfo.InvariantCulture, out var wait) ? wait : 0);
                    control.Send(WatchdogMessages.Armed);
                    break;
                case [WatchdogMessages.Snapshot, var milliseconds, var bandwidth, var switchedOff]:
                    patience = long.TryParse(milliseconds, NumberStyles.None, CultureInfo.InvariantCulture, out var most) ? most : 0;
                    deadline = Environment.TickCount64 + patience;
                    starvation = new Starvation(parent, patience);
                    snapshot = MigrationSettings.FromMessage(rescue.Ask, bandwidth, switchedOff);
                    control.Send(WatchdogMessages.Armed);
                    break;
                case [WatchdogMessages.Reading] when snapshot is not null && deadline is not null:
                    deadline = Environment.TickCount64 + patience;
                    starvation?.Heard();
                    break;
                case [WatchdogMessages.Adopt] when snapshot is not null:
                    control.Send(WatchdogMessages.Armed);
                    return Report(control, target, SnapshotRescue.Run(rescue, pipe, snapshot, qemu), "QEMU answers again", "ended the snapshot of");
                case [WatchdogMessages.Resumed]:
                    deadline = null;
                    snapshot = null;
                    control.Send(WatchdogMessages.Disarmed);
                    break;
                case [WatchdogMessages.Bye]:
                    return 0;
                case not null:
                    break;
                default:
                    var ended = control.Closed || HasEnded(parentIdentity);
                    var late = deadline is { } d && Environment.TickCount64 >= d;
                    if (deadline is null && (ended || Volatile.Read(ref terminated)))
                        return 0;
                    if (late && !ended && snapshot is not null && starvation?.Excuses(Environment.TickCount64) == true)
                    {
                        deadline = Environment.TickCount64 + PollMilliseconds;
                        break;
                    }
                    if (deadline is not null && snapshot is not null && (ended || late))
                    {
                        // Asked to end, it stays: two that read one stream would spoil it, none would stop the guest.
                        // One that hangs is ended first: it might wake up and begin what is being ended here.
                        if (!HasEnded(parentIdentity))
                            _ = LinuxNative.Kill(parent, LinuxNative.SIGKILL);
                        var failure = SnapshotRescue.Run(rescue, pipe, snapshot, qemu);
                        return Report(control, target, failure, late ? "forengate did not read its snapshot" : "forengate ended during a snapshot", "ended the snapshot of");
                    }
                    if (deadline is not null && snapshot is null && (ended || late || Volatile.Read(ref terminated)))
                    {
                        return Act(control, rescue, parent, parentIdentity, target, late);
                    }
                    break;
            }
        }
    }

    private static TimeSpan Wait(long? deadline) =>
        TimeSpan.FromMilliseconds(deadline is { } d ? Math.Clamp(d - Environment.TickCount64, 0, PollMilliseconds) : PollMilliseconds);

    private static bool HasEnded(Descriptor parent) => parent.IsInvalid || LinuxNative.HasEnded(parent.Number);

    private static int Act(ControlSocket control, GuestRescue rescue, int parent, Descriptor parentIdentity, GuestTarget target, bool late)
    {
        var failure = rescue.Continue(late && !HasEnded(parentIdentity) ? parent : 0);
        // A killed process loses its sockets before it is gone: only now is it sure which of the two it was.
        var reason = HasEnded(parentIdentity) ? "forengate ended while the guest was stopped" : late ? "the deadline passed" : "forengate handed over";
        return Report(control, target, failure, reason, "continued");
    }

    private static int Report(ControlSocket control, GuestTarget target, string? failure, string reason, string done)
    {
        if (failure is null)
            control.Send(string.Create(CultureInfo.InvariantCulture, $"{WatchdogMessages.Continued} {Stopwatch.GetTimestamp()}"));
        else
            control.Send(WatchdogMessages.Failed);
        Console.Error.WriteLine(failure is null
            ? $"forengate: watchdog: {done} {target}: {reason}"
            : $"forengate: watchdog: could not help {target} ({reason}): {failure}; run forengate rescue --resume, or do it by hand (virsh resume, or cont on its monitor)");
        return failure is null ? 0 : 1;
    }

    private static void Ignore(PosixSignalContext context) => context.Cancel = true;
}
