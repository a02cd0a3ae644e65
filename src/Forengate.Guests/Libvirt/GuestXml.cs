using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>How a libvirt guest is defined.</summary>
/// <param name="Live">Its devices as they are now (the definition, where it does not run).</param>
/// <param name="Lasting">Its persistent definition, which no guard changes; null for a transient guest.</param>
public sealed partial record GuestXml(string Live, string? Lasting)
{
    private const string Library = "libvirt.so.0";

    /// <summary>VIR_DOMAIN_XML_INACTIVE (libvirt-domain.h).</summary>
    private const uint Inactive = 1 << 1;

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
        return domain is null ? null : LibvirtCall.Run("asking for the definition", () => Read(domain), ct);
    }

    private static GuestXml Read(LibvirtDomain domain)
    {
        using var held = new HeldHandle(domain);
        var live = Text(held.Value, 0) ?? throw LibvirtCall.Failure($"definition of {domain.Name}");
        return new GuestXml(live, IsPersistent(held.Value) == 1 ? Text(held.Value, Inactive) : null);
    }

    private static string? Text(nint domain, uint flags)
    {
        var text = Describe(domain, flags);
        if (text == 0)
            return null;
        try
        {
            return Marshal.PtrToStringUTF8(text);
        }
        finally
        {
            unsafe
            {
                LibvirtNative.Free((void*)text);
            }
        }
    }

    [LibraryImport(Library, EntryPoint = "virDomainGetXMLDesc")]
    private static partial nint Describe(nint domain, uint flags);

    [LibraryImport(Library, EntryPoint = "virDomainIsPersistent")]
    private static partial int IsPersistent(nint domain);
}
