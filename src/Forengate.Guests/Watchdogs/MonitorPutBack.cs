using System.Diagnostics;

namespace Forengate.Guests;

/// <summary>Puts QEMU's action on a panic back for a guard that was killed.</summary>
internal static class MonitorPutBack
{
    /// <summary>
    /// How long a monitor that somebody else has is waited for: QEMU takes one client, and the dead guard's connection, or its capture's watchdog, may have it for a moment yet.
    /// </summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>A snapshot whose guard was killed is read to its end by its watchdog, which has the monitor so long.</summary>
    private static readonly TimeSpan s_longest = TimeSpan.FromHours(1);

    private static readonly TimeSpan s_command = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_greeting = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    /// <summary>QEMU's run state of a guest whose panic stopped it (qapi/run-state.json).</summary>
    private const string Crashed = "guest-panicked";

    /// <param name="held">What was held.</param>
    /// <param name="guard">The dead guard's process.</param>
    /// <param name="say">Told in one line what became of it.</param>
    /// <param name="patience">How long a monitor that somebody else has is waited for: <see cref="Patience"/>.</param>
    /// <returns>True when nothing of the guard's is left in the guest.</returns>
    public static bool Run(HeldSetting.OfMonitor held, int guard, Action<string> say, TimeSpan patience)
    {
        var began = Stopwatch.GetTimestamp();
        var waited = began;
        for (; ; Thread.Sleep(s_pause))
        {
            if (!held.IsThere)
            {
                say($"{held.Name}: its QEMU has ended: nothing to put back");
                return true;
            }
            try
            {
                using var connection = QmpConnection.Open(held.Socket, s_greeting, s_command, CancellationToken.None);
                return Run(held, connection, say);
            }
            catch (QmpRefusedException e)
            {
                say($"{held.Name}: {e.Message}: {ByHand(held)}");
                return false;
            }
            catch (IOException e)
            {
                if (WatchdogLives(guard) && Stopwatch.GetElapsedTime(began) < s_longest)
                    waited = Stopwatch.GetTimestamp();
                if (Stopwatch.GetElapsedTime(waited) < patience)
                    continue;
                say(e is GuestException { Failure: GuestFailure.MonitorBusy }
                    ? $"{held.Name}: another program has had the monitor for {patience.TotalSeconds:0} s: left alone; a new guard puts it back, else {ByHand(held)}"
                    : $"{held.Name}: {e.Message}: {ByHand(held)}");
                return false;
            }
        }
    }

    private static bool Run(HeldSetting.OfMonitor held, QmpConnection connection, Action<string> say)
    {
        // Whoever listens there now was asked by name; only of the same process is it known what its own action is.
        if (connection.PeerProcess != held.Process || !held.IsThere)
        {
            say($"{held.Name}: another QEMU listens there now: left alone");
            return true;
        }
        connection.Execute("set-action", w => w.WriteString("panic", held.Action), s_command, CancellationToken.None);
        var state = MonitorCommands.ParseState(connection.Execute("query-status", null, s_command, CancellationToken.None));
        say(state.Status == Crashed
            ? $"{held.Name}: put its panic action back to {held.Action}; the guest has crashed and stands still, as the guard held it: dump it, then go on with system_reset and cont, or quit, on its monitor (forengate rescue {held.Name} looks at it)"
            : $"{held.Name}: put its panic action back to {held.Action}");
        return true;
    }

    private static string ByHand(HeldSetting.OfMonitor held) => $"its panic action may still be pause: set-action with panic={held.Action} on its monitor puts it back";

    /// <summary>True while a watchdog of one of the guard's captures lives: it ends what the guard began.</summary>
    private static bool WatchdogLives(int guard)
    {
        var mark = $"\0{Watchdog.Verb}\0{WatchdogMessages.ParentOption}\0{guard}\0";
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            try
            {
                if (char.IsAsciiDigit(Path.GetFileName(folder)[0]) && File.ReadAllText(folder + "/cmdline").Contains(mark, StringComparison.Ordinal))
                    return true;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has ended, or is not ours.
            }
        }
        return false;
    }
}
