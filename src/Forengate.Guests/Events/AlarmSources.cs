namespace Forengate.Guests;

/// <summary>Opens the sources of alarms.</summary>
public static class AlarmSources
{
    private static readonly TimeSpan s_shortestInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_longestInterval = TimeSpan.FromHours(1);
    private const int MostMisses = 1000;

    /// <summary>Listens to libvirt's events of its QEMU guests. Returns when the guests that run are under guard (within 5 s; one whose domain is busy follows).</summary>
    /// <param name="connectUri">libvirt URI; null for <c>LIBVIRT_DEFAULT_URI</c>, else <c>qemu:///system</c>.</param>
    /// <param name="guests">Names or UUIDs; null or none for all guests, including those that come later. A named guest need not run, nor exist, yet.</param>
    /// <param name="options">What to listen for and do.</param>
    /// <param name="ct">Ends the opening.</param>
    /// <exception cref="GuestException">No libvirt, no daemon, no right to control guests, or not libvirt's QEMU driver.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A time or number of the options is out of its range.</exception>
    public static IAlarmSource ForLibvirt(string? connectUri, IReadOnlyList<string>? guests, AlarmOptions options, CancellationToken ct)
    {
        Check(options);
        return LibvirtAlarmSource.Open(LibvirtUri.Resolve(connectUri), guests ?? [], options, ct);
    }

    /// <summary>Listens on a QMP socket of QEMU's. QEMU serves one client a socket: the source has it for as long as it lives, but for the time of a <see cref="IAlarmSource.Lend"/>.</summary>
    /// <param name="socket">Path of the socket that is listened on.</param>
    /// <param name="options">What to listen for and do.</param>
    /// <param name="captureSocket">
    /// A second QMP socket of the same QEMU: alarms name it as their target, so that events are heard during a dump too. Null: alarms name <paramref name="socket"/>, and a dump needs a loan.
    /// </param>
    /// <param name="ct">Ends the opening.</param>
    /// <exception cref="GuestException">No socket, no rights, busy, or no QMP.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A time or number of the options is out of its range.</exception>
    public static IAlarmSource ForQmp(string socket, AlarmOptions options, string? captureSocket, CancellationToken ct)
    {
        ArgumentException.ThrowIfNullOrEmpty(socket);
        Check(options);
        return QmpAlarmSource.Open(socket, captureSocket, options, ct);
    }

    /// <summary>Several sources as one. Disposing it disposes them.</summary>
    public static IAlarmSource Join(IReadOnlyList<IAlarmSource> sources)
    {
        ArgumentNullException.ThrowIfNull(sources);
        return sources.Count == 1 ? sources[0] : new JoinedAlarms(sources);
    }

    private static void Check(AlarmOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.AgentInterval is { } interval && (interval < s_shortestInterval || interval > s_longestInterval))
            throw new ArgumentOutOfRangeException(nameof(options), interval, "the agent is asked every 100 ms to 1 h");
        if (options.AgentMisses is < 1 or > MostMisses)
            throw new ArgumentOutOfRangeException(nameof(options), options.AgentMisses, "1 to 1000 misses can be had");
        if (options.AgentPatience < s_shortestInterval || options.AgentPatience > s_longestInterval)
            throw new ArgumentOutOfRangeException(nameof(options), options.AgentPatience, "an answer may take 100 ms to 1 h");
    }
}
