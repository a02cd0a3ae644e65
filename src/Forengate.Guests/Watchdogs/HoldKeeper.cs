using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// The process that puts back what a guard holds when the guard was killed. It lives in a session of its own, so Ctrl-C does not reach it; it does nothing while the guard lives, stopped or hung as it may be; and it always ends: on "bye",
/// and when it has done, or could not do, what a dead guard left.
/// </summary>
internal static class HoldKeeper
{
    /// <summary>How often the guard is looked after, should nothing wake us.</summary>
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(5);

    /// <summary>A killed process loses its sockets before it is gone.</summary>
    private const int GonePause = 50;

    /// <param name="guard">The guard's process, as its command line names it.</param>
    /// <returns>0 when nothing was to be put back, or all was; 1 when something was not; 2 for a wrong command line.</returns>
    public static int RunAsChild(string guard)
    {
        if (!int.TryParse(guard, NumberStyles.None, CultureInfo.InvariantCulture, out var parent) || parent <= 0)
        {
            Console.Error.WriteLine("forengate: watchdog is started by forengate itself");
            return 2;
        }
        if (LinuxNative.ParentProcess() != parent)
            return 0;
        using var control = new ControlSocket(new Descriptor(WatchdogMessages.ControlDescriptor));
        using var identity = new Descriptor(LinuxNative.OpenProcess(parent));
        // A guard that is told to end finishes its dump and puts back by itself: whoever tells all its processes must not rob it of us.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Ignore);
        using var quit = PosixSignalRegistration.Create(PosixSignal.SIGQUIT, Ignore);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Ignore);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ignore);
        var owner = HoldOwner.Of(parent);
        // Only now is it sure that the two above are the guard's, and not of whoever got its number.
        if (LinuxNative.ParentProcess() != parent)
            return 0;
        control.Send(HoldMessages.Ready);
        return Keep(control, () => identity.IsInvalid ? LinuxNative.ParentProcess() != parent : LinuxNative.HasEnded(identity.Number)) is { } held ? PutBack(held.Values, owner) : 0;
    }

    /// <summary>Listens for as long as the guard lives. What it left; null where it said goodbye.</summary>
    private static SortedDictionary<int, HeldSetting>? Keep(ControlSocket control, Func<bool> hasEnded)
    {
        var held = new SortedDictionary<int, HeldSetting>();
        var ended = false;
        for (; ; )
        {
            switch (control.Receive(ended ? TimeSpan.Zero : s_look)?.Split(' '))
            {
                case [HoldMessages.Hold, var number, .. var words] when int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var id) && HeldSetting.FromMessage(words) is { } setting:
                    held[id] = setting;
                    control.Send(HoldMessages.Kept);
                    break;
                case [HoldMessages.Forget, var number] when int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var id):
                    held.Remove(id);
                    break;
                case [HoldMessages.Bye]:
                    return null;
                case not null:
                    break;
                default:
                    if (ended || (control.Closed && held.Count == 0))
                        return held;
                    // Its last words may wait to be read yet.
                    ended = hasEnded();
                    // It may live on, and have left to us what it could not put back.
                    if (control.Closed && !ended)
                        Thread.Sleep(GonePause);
                    break;
            }
        }
    }

    /// <summary>All at once: one whose monitor is taken must not keep the others waiting.</summary>
    private static int PutBack(IReadOnlyCollection<HeldSetting> held, HoldOwner owner)
    {
        var failures = 0;
        var threads = new List<Thread>();
        foreach (var setting in held)
        {
            var thread = new Thread(() =>
            {
                if (!PutBack(setting, owner))
                    Interlocked.Increment(ref failures);
            });
            thread.Start();
            threads.Add(thread);
        }
        foreach (var thread in threads)
            thread.Join();
        return failures == 0 ? 0 : 1;
    }

    private static bool PutBack(HeldSetting setting, HoldOwner owner)
    {
        try
        {
            return setting switch
            {
                HeldSetting.OfMonitor monitor => MonitorPutBack.Run(monitor, owner.ProcessId, Say, MonitorPutBack.Patience),
                HeldSetting.OfLibvirt libvirt => DomainPutBack.Run(libvirt.Connection, owner, Say),
                _ => true,
            };
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            Say($"{setting.Name}: {e.Message}; the guard leaves {setting.Leftover}");
            return false;
        }
    }

    private static void Say(string what)
    {
        try
        {
            Console.Error.WriteLine($"forengate: watchdog: its guard has ended: {what}");
        }
        catch (IOException)
        {
            // Its terminal is gone, and nobody listens any more.
        }
    }

    private static void Ignore(PosixSignalContext context) => context.Cancel = true;
}
