namespace Forengate.Guests;

/// <summary>Which libvirt is meant when several might be.</summary>
public static class LibvirtUri
{
    public const string Default = "qemu:///system";

    /// <summary>The user's own choice, else <c>LIBVIRT_DEFAULT_URI</c>, else <see cref="Default"/>.</summary>
    public static string Resolve(string? chosen)
    {
        if (!string.IsNullOrEmpty(chosen))
            return chosen;
        var fromEnvironment = Environment.GetEnvironmentVariable("LIBVIRT_DEFAULT_URI");
        return string.IsNullOrEmpty(fromEnvironment) ? Default : fromEnvironment;
    }

    /// <summary>The host named in a URI ("qemu+ssh://HOST/system"), or null where it means this one.</summary>
    public static string? RemoteHost(string uri)
    {
        if (!Uri.TryCreate(uri, UriKind.Absolute, out var parsed) || parsed.Host.Length == 0)
            return null;
        return parsed.Host is "localhost" or "127.0.0.1" or "[::1]" ? null : parsed.Host;
    }
}
