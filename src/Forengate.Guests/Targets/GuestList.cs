namespace Forengate.Guests;

/// <summary>The guests of a libvirt, whatever its driver.</summary>
public static class GuestList
{
    /// <param name="connectUri">libvirt URI; null for <c>LIBVIRT_DEFAULT_URI</c>, else <c>qemu:///system</c>.</param>
    /// <param name="ct">Ends the waiting.</param>
    /// <returns>Running guests first, then by name.</returns>
    /// <exception cref="GuestException">No libvirt, no daemon, or no right to ask it.</exception>
    public static IReadOnlyList<GuestInfo> Of(string? connectUri, CancellationToken ct)
    {
        using var connection = LibvirtConnection.Open(LibvirtUri.Resolve(connectUri), readOnly: true, ct);
        return [.. connection.List(ct).OrderBy(g => g.Id is null).ThenBy(g => g.Name, StringComparer.Ordinal)];
    }
}
