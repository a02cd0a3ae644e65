namespace Forengate.Guests;

/// <summary>Opens the sources of alarms.</summary>
public static class AlarmSources
{
    /// <summary>Listens to libvirt's events of its QEMU guests.</summary>
    /// <param name="connectUri">libvirt URI; null for <c>LIBVIRT_DEFAULT_URI</c>, else <c>qemu:///system</c>.</param>
    /// <param name="guests">Names or UUIDs; null or none for all guests, including those that come later. A named guest need not run, nor exist, yet.</param>
    /// <param name="options">What to listen for and do.</param>
    /// <param name="ct">Ends the opening.</param>
    /// <exception cref="GuestException">No libvirt, no daemon, no right to control guests, or not libvirt's QEMU driver.</exception>
    public static IAlarmSource ForLibvirt(string? connectUri, IReadOnlyList<string>? guests, AlarmOptions options, CancellationToken ct) =>
        throw new NotSupportedException("joined with the sources");

    /// <summary>Listens on a QMP socket of QEMU's. QEMU serves one client a socket, so for the time of guarding it is the source's: a capture needs a second one.</summary>
    /// <param name="socket">Path of the socket that is listened on.</param>
    /// <param name="options">What to listen for and do.</param>
    /// <param name="captureSocket">A second QMP socket of the same QEMU: alarms name it as their target, so that a dump can be made while we listen. Null: alarms name <paramref name="socket"/>.</param>
    /// <param name="ct">Ends the opening.</param>
    /// <exception cref="GuestException">No socket, no rights, busy, or no QMP.</exception>
    public static IAlarmSource ForQmp(string socket, AlarmOptions options, string? captureSocket, CancellationToken ct) =>
        throw new NotSupportedException("joined with the sources");

    /// <summary>Several sources as one. Disposing it disposes them.</summary>
    public static IAlarmSource Join(IReadOnlyList<IAlarmSource> sources) => throw new NotSupportedException("joined with the sources");
}
