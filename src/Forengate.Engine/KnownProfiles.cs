using Forengate.Symbols;

namespace Forengate.Engine;

/// <summary>The profiles a job knows: those in the files that the user named, then the carried ones.</summary>
internal static class KnownProfiles
{
    /// <exception cref="IOException">A named file does not exist, or is no symbol file.</exception>
    public static ProfileStore Of(TargetOptions options) =>
        options.Symbols.Count == 0 ? ProfileStore.Carried : ProfileStore.Carried.With([.. options.Symbols.Select(path => ProfileSource.Open(path))]);
}
