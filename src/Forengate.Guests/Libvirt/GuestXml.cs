namespace Forengate.Guests;

/// <summary>How a libvirt guest is defined.</summary>
/// <param name="Text">Its XML as it runs (its definition, where it does not).</param>
/// <param name="OnCrash">Its own crash action in libvirt's word, which is not what the XML says while a guard holds its crashes.</param>
public sealed record GuestXml(string Text, string OnCrash)
{
    /// <summary>Asks libvirt, over a connection that may only read.</summary>
    /// <param name="connectUri">libvirt URI; null for <c>LIBVIRT_DEFAULT_URI</c>, else <c>qemu:///system</c>.</param>
    /// <param name="nameOrUuid">Of the guest.</param>
    /// <param name="ct">Ends the waiting.</param>
    /// <returns>Null where there is no such guest (yet).</returns>
    /// <exception cref="GuestException">libvirt can't be reached or does not tell.</exception>
    public static GuestXml? Of(string? connectUri, string nameOrUuid, CancellationToken ct)
    {
        using var connection = LibvirtConnection.Open(LibvirtUri.Resolve(connectUri), readOnly: true, ct);
        using var domain = connection.Find(nameOrUuid, ct);
        if (domain is null)
            return null;
        var text = LibvirtCall.Run("asking for the definition", domain.Describe, ct);
        return new GuestXml(text, CrashSetting.NameOf(CrashSetting.Read(text).Wanted));
    }
}
