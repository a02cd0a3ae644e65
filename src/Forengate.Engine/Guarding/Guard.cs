using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>Waits for crashes and hangs of guests, and dumps them.</summary>
public static class Guard
{
    /// <summary>An agent is asked so often that one that is silent is noticed about in time.</summary>
    private static readonly TimeSpan s_agentInterval = TimeSpan.FromSeconds(5);

    /// <summary>Guards until it is told to stop.</summary>
    /// <param name="options">Whom, where to, how much.</param>
    /// <param name="journal">Told of every happening, one at a time, on the guard's threads; it must not throw.</param>
    /// <param name="stop">Ends the guarding: a dump under way is finished, guests' settings are put back.</param>
    /// <param name="abort">Cancels the dumps under way, too; nothing is left of them.</param>
    /// <exception cref="IOException">The folder is not there or the guests can't be listened to (<see cref="GuestException"/>).</exception>
    public static GuardSummary Run(GuardOptions options, Action<GuardEvent> journal, CancellationToken stop, CancellationToken abort)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(journal);
        options = options with { Folder = Path.GetFullPath(options.Folder), Target = options.Target with { GoesOnThroughSignals = true } };
        ProveWritable(options.Folder);
        using var profiles = KnownProfiles.Of(options.Target, stop);
        var room = RoomOf(options);
        var book = new ReadinessBook(options, room, TimeProvider.System);
        book.Prepare(stop);
        using var source = Open(options, stop);
        var lines = new GuardJournal(journal, TimeProvider.System);
        foreach (var (path, bytes) in Leftovers.Remove(options.Folder))
            lines.Write(new GuardEvent { Kind = GuardEventKind.Removed, At = lines.Now, Text = "a dump that was never finished: its guard was killed", File = path, Bytes = bytes });
        var work = new GuardWork(options, new GuestDumper(options, room, source), new RateLimiter(options.AtMost, TimeProvider.System), lines);
        using var loop = new GuardLoop(options, source, work, book.LineOf, lines);
        return loop.Run(stop, abort);
    }

    /// <summary>Says what would happen at a crash of each guest that is there now, and changes nothing.</summary>
    /// <param name="options">As for <see cref="Run"/>.</param>
    /// <param name="cancellation">Ends the asking.</param>
    /// <returns>Lines of the kind <see cref="GuardEventKind.Ready"/>; not complete where a guest lacks something.</returns>
    /// <exception cref="IOException">As for <see cref="Run"/>.</exception>
    public static IReadOnlyList<GuardEvent> Plan(GuardOptions options, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(options);
        options = options with { Folder = Path.GetFullPath(options.Folder) };
        ProveWritable(options.Folder);
        return new ReadinessBook(options, RoomOf(options), TimeProvider.System).Prepare(cancellation);
    }

    private static DumpRoom RoomOf(GuardOptions options) => new(() => (ulong)new DriveInfo(options.Folder).AvailableFreeSpace, options.Reserve);

    private static IAlarmSource Open(GuardOptions options, CancellationToken ct)
    {
        var hears = new AlarmOptions
        {
            HoldCrashes = options.Triggers.HasFlag(GuardTriggers.Panic),
            Watchdog = WatchdogHost.ThisProgram(),
            AgentInterval = options.Triggers.HasFlag(GuardTriggers.Silence) ? s_agentInterval : null,
            AgentMisses = Math.Max(1, (int)Math.Round(options.SilentFor / (s_agentInterval + new AlarmOptions().AgentPatience))),
        };
        var sources = new List<IAlarmSource>();
        try
        {
            foreach (var monitor in options.Monitors)
                sources.Add(AlarmSources.ForQmp(monitor.Socket, hears with { AgentSocket = monitor.AgentSocket }, captureSocket: null, ct));
            if (options.Guests.Count > 0 || options.Monitors.Count == 0)
                sources.Add(AlarmSources.ForLibvirt(options.Target.ConnectUri, options.Guests, hears, ct));
            return sources.Count == 1 ? sources[0] : AlarmSources.Join(sources);
        }
        catch
        {
            foreach (var source in sources)
                source.Dispose();
            throw;
        }
    }

    /// <summary>Better now than at the first crash.</summary>
    private static void ProveWritable(string folder)
    {
        if (!Directory.Exists(folder))
            throw new IOException($"the folder {folder} does not exist: make it first, readable by those only who may read a guest's memory");
        try
        {
            using var trial = new FileStream(Path.Combine(folder, $".forengate-{Guid.NewGuid():N}"), FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"nothing can be written into {folder}: {e.Message}", e);
        }
    }
}
