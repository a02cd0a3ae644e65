namespace Forengate.Guests;

/// <summary>The guests of a libvirt, with what this user may do to each: learnt without asking any QEMU, so that nothing is marked.</summary>
/// <param name="Guests">Running guests first, then by name; each with what may be done to it, null for one that does not run.</param>
/// <param name="ReadOnly">True where only libvirt's read-only socket would have us.</param>
/// <param name="HypervisorVersion">Of the QEMU that this libvirt starts; null where it does not say.</param>
public sealed record HostGuests(IReadOnlyList<(GuestInfo Guest, GuestAccess? Access)> Guests, bool ReadOnly, Version? HypervisorVersion)
{
    /// <summary>True where libvirt is this host's, and its guests QEMU's.</summary>
    public bool IsOfThisHost { get; init; }

    private const string ReadWriteSocket = "libvirt's read-write socket (root, or a member of the group libvirt)";

    /// <param name="connectUri">libvirt URI; null for <c>LIBVIRT_DEFAULT_URI</c>, else <c>qemu:///system</c>.</param>
    /// <param name="ct">Ends the waiting.</param>
    /// <exception cref="GuestException">No libvirt, no daemon, or neither of its sockets has us.</exception>
    public static HostGuests Of(string? connectUri, CancellationToken ct)
    {
        var uri = LibvirtUri.Resolve(connectUri);
        var (connection, readOnly) = Connect(uri, ct);
        using (connection)
        {
            var isHere = LibvirtUri.RemoteHost(uri) is null;
            var isQemu = connection.Driver() == "QEMU";
            var guests = new List<(GuestInfo, GuestAccess?)>();
            foreach (var guest in connection.List(ct).OrderBy(g => g.Id is null).ThenBy(g => g.Name, StringComparer.Ordinal))
                guests.Add((guest, guest.Id is null || !isQemu ? null : AccessTo(guest, readOnly, isHere)));
            return new HostGuests(guests, readOnly, connection.HypervisorVersion()) { IsOfThisHost = isHere && isQemu };
        }
    }

    /// <summary>The read-write socket where it has us, else the one for those who only look.</summary>
    private static (LibvirtConnection Connection, bool ReadOnly) Connect(string uri, CancellationToken ct)
    {
        try
        {
            return (LibvirtConnection.Open(uri, readOnly: false, ct), false);
        }
        catch (GuestException e) when (e.Failure == GuestFailure.NoRights)
        {
            try
            {
                return (LibvirtConnection.Open(uri, readOnly: true, ct), true);
            }
            catch (GuestException second) when (second.Failure == GuestFailure.NoRights)
            {
                throw new GuestException(GuestFailure.NoRights, $"{e.Message}; to list guests the read-only socket would do, which has us no more", second);
            }
        }
    }

    private static GuestAccess AccessTo(GuestInfo guest, bool readOnly, bool isHere)
    {
        var monitor = readOnly ? ReadWriteSocket : null;
        if (!isHere)
            return new GuestAccess(null, monitor, "forengate on the host where QEMU runs");
        return QemuProcess.FindByUuid(guest.Uuid) is { } pid
            ? new GuestAccess(pid, monitor, GuestAccess.NeedsOfProcess(pid))
            : new GuestAccess(null, monitor, "QEMU's process in sight: outside of containers, and without hidepid on /proc");
    }
}
