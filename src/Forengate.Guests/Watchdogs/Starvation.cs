namespace Forengate.Guests;

/// <summary>
/// Tells a process that hangs from one that a busy host does not let run: of the latter some thread is runnable. To end it would not give the guest anything, and cost the snapshot.
/// </summary>
internal sealed class Starvation(int process, long milliseconds)
{
    /// <summary>A thread that waits for another process's answer sleeps now and then, on a host on which both starve: so many looks must agree.</summary>
    private const int LooksBelieved = 3;

    /// <summary>One that spins for ever is runnable too: silence is forgiven for so many times the patience, not longer.</summary>
    private const int MostTimes = 4;

    private long _since = long.MaxValue;
    private int _quiet;

    /// <summary>Somebody is there: what was forgiven begins anew.</summary>
    public void Heard() => (_since, _quiet) = (long.MaxValue, 0);

    /// <summary>True when what fell silent only waits for a processor, and may go on waiting.</summary>
    /// <param name="now"><see cref="Environment.TickCount64"/>.</param>
    public bool Excuses(long now)
    {
        _since = Math.Min(_since, now);
        if (now - _since > MostTimes * milliseconds)
            return false;
        switch (Look())
        {
            case Threads.Stopped:
                return false;
            case Threads.Runnable:
                _quiet = 0;
                return true;
            default:
                return ++_quiet < LooksBelieved;
        }
    }

    private Threads Look()
    {
        var seen = Threads.Asleep;
        try
        {
            foreach (var task in Directory.EnumerateDirectories($"/proc/{process}/task"))
            {
                switch (ProcessStat.Read(task)?.State)
                {
                    case 'R':
                        return Threads.Runnable;
                    case 'T' or 't':
                        seen = Threads.Stopped;
                        break;
                    default:
                        break;
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has ended, or may not be looked at: silence counts as before.
            return Threads.Stopped;
        }
        return seen;
    }

    private enum Threads
    {
        Asleep,
        Runnable,
        Stopped,
    }
}
