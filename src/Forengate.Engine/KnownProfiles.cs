using Forengate.Symbols;

namespace Forengate.Engine;

/// <summary>The profiles a command works with, in the order in which they are asked: what the user named, the local store, what the program carries.</summary>
internal sealed class KnownProfiles
{
    private readonly LocalStore? _local;

    private KnownProfiles(ProfileStore store, LocalStore? local) => (Store, _local) = (store, local);

    public ProfileStore Store { get; }

    /// <summary>What was found and not used.</summary>
    public IReadOnlyList<string> Refused => _local?.Refused ?? [];

    /// <exception cref="IOException">A named file is none, or damaged.</exception>
    public static KnownProfiles Of(TargetOptions options)
    {
        var local = options.StoreFolder is { } folder ? new LocalStore(folder) : null;
        var trust = PackTrust.Of(options.TrustedKeys, options.StoreFolder);
        var named = options.Symbols.Select(path => ProfileSource.Open(path, null, trust));
        return new KnownProfiles(ProfileStore.Carried.With([.. named, .. local is null ? (ProfileSource[])[] : [local]]), local);
    }
}
