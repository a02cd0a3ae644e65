using Forengate.Symbols;

namespace Forengate.Engine;

/// <summary>The profiles a command works with, in the order in which they are asked: what the user named, the local store, what the program carries.</summary>
internal sealed class KnownProfiles
{
    private KnownProfiles(ProfileStore store, LocalStore? local) => (Store, Local) = (store, local);

    public ProfileStore Store { get; }

    /// <summary>The host's own store; null for none.</summary>
    public LocalStore? Local { get; }

    /// <summary>What was found and not used.</summary>
    public IReadOnlyList<string> Refused => Local?.Refused ?? [];

    /// <exception cref="IOException">A named file is none, or damaged.</exception>
    public static KnownProfiles Of(TargetOptions options)
    {
        var local = options.StoreFolder is { } folder ? new LocalStore(folder) : null;
        var trust = PackTrust.Of(options.TrustedKeys, options.StoreFolder);
        var named = options.Symbols.Select(path => ProfileSource.Open(path, null, trust));
        return new KnownProfiles(ProfileStore.Carried.With([.. named, .. local is null ? (ProfileSource[])[] : [local]]), local);
    }
}
