namespace Forengate.Guests;

/// <summary>
/// Hears of crashes, hangs, starts and ends of guests, on threads of its own. Alarms wait in a bounded queue in the order in which they happened to each guest until they are fetched.
/// </summary>
/// <remarks>
/// Safe for use from several threads. Disposing it puts the guests' settings back and applies every <see cref="CrashHold"/> that nobody has applied; it does not throw, and takes bounded time.
/// </remarks>
public interface IAlarmSource : IDisposable
{
    /// <summary>For people: what is listened to.</summary>
    string Name { get; }

    /// <summary>The guests that are listened to and exist now. For all guests of a libvirt this changes as guests start and end.</summary>
    IReadOnlyList<GuestTarget> Guests { get; }

    /// <summary>Facts that belong on the record so far: what could not be set or listened to and why, alarms that were dropped. They only grow; each is one line.</summary>
    IReadOnlyList<string> Remarks { get; }

    /// <summary>True when nothing more will come: the way was lost and not found again within <see cref="AlarmOptions.ReconnectFor"/>. Alarms that still wait are handed out first.</summary>
    bool IsOver { get; }

    /// <summary>Waits for the next alarm.</summary>
    /// <param name="patience">How long at most; zero looks without waiting, <see cref="Timeout.InfiniteTimeSpan"/> waits until there is one or the source is over.</param>
    /// <param name="ct">Ends the waiting.</param>
    /// <returns>Null when none came in time, or the source is over.</returns>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled. No alarm is lost by that.</exception>
    GuestAlarm? Next(TimeSpan patience, CancellationToken ct);

    /// <summary>
    /// Lets go of what a capture of that guest needs for itself: a QMP socket takes one client, so a source that listens on the very socket stops listening until the loan is disposed. What happens
    /// meanwhile and can still be seen is told afterwards. Costs nothing where listening and capturing don't meet (libvirt, a second socket).
    /// </summary>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled.</exception>
    IDisposable Lend(GuestTarget target, CancellationToken ct);
}
