using Forengate.Symbols;

namespace Forengate.Engine;

/// <summary>The profiles a command works with, in the order in which they are asked: what the user named, the local store, what the program carries, symbol servers where the user allows them.</summary>
internal sealed class KnownProfiles : IDisposable
{
    private readonly SymbolServers? _servers;

    private KnownProfiles(ProfileStore store, LocalStore? local, SymbolServers? servers) => (Store, Local, _servers) = (store, local, servers);

    public ProfileStore Store { get; }

    /// <summary>The host's own store; null for none.</summary>
    public LocalStore? Local { get; }

    /// <summary>What was found and not used.</summary>
    public IReadOnlyList<string> Refused => Local?.Refused ?? [];

    /// <exception cref="IOException">A named file is none, or damaged.</exception>
    public static KnownProfiles Of(TargetOptions options, CancellationToken cancellation = default)
    {
        var local = options.StoreFolder is { } folder ? new LocalStore(folder) : null;
        var trust = PackTrust.Of(options.TrustedKeys, options.StoreFolder);
        var named = options.Symbols.Select(path => ProfileSource.Open(path, null, trust)).ToList();
        var servers = options.SymbolServers.Count == 0 ? null : ServersOf(options, local, null, cancellation);
        return new KnownProfiles(
            ProfileStore.Carried.With([.. named, .. local is null ? (ProfileSource[])[] : [local]]).Then(servers is null ? [] : [servers]), local, servers);
    }

    public static SymbolServers ServersOf(TargetOptions options, LocalStore? local, Version? version, CancellationToken cancellation) => new(
        options.SymbolServers, new SymbolServerOptions { Proxy = options.Proxy }, local, cancellation) { Version = version };

    public void Dispose() => _servers?.Dispose();
}
