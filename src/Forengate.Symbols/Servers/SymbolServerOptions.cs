using System.Security.Cryptography.X509Certificates;

namespace Forengate.Symbols;

/// <summary>What a symbol server may take and give.</summary>
public sealed record SymbolServerOptions
{
    /// <summary>How long a connection may take to come about.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a server may say nothing.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long one file may take in all: a server that sends a byte now and then never stalls.</summary>
    public TimeSpan TotalTimeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Bytes of a file, packed or not: the largest kernel PDBs have some 20 MiB.</summary>
    public long MaxFileBytes { get; init; } = 512L << 20;

    /// <summary>A redirect to another host than the server's is followed from https to https only; more than these never.</summary>
    public int MaxRedirects { get; init; } = 5;

    /// <summary>"http://proxy:3128", or "none"; null for what the variables http_proxy, https_proxy, all_proxy and no_proxy say.</summary>
    public string? Proxy { get; init; }

    /// <summary>The only certificates that vouch for servers; null for the system's.</summary>
    internal X509Certificate2Collection? Authorities { get; init; }

    /// <summary>Where downloads lie until they are used, where no cache is named.</summary>
    public string? DownloadFolder { get; init; }
}
