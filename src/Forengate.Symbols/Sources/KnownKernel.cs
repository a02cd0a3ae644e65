namespace Forengate.Symbols;

/// <summary>A kernel that a source knows, as lists show it.</summary>
/// <param name="CodeView">Which symbols it names; null for a file that cannot be read.</param>
/// <param name="Version">File version; null where the source does not say.</param>
/// <param name="Source">Name of the source.</param>
/// <param name="File">The file it is in; null for what the program carries.</param>
/// <param name="Problem">Why it is not used; null where it is.</param>
/// <param name="Profile">The profile, where the source has it at hand; null for symbol files that would have to be read for it.</param>
public sealed record KnownKernel(CodeViewRecord? CodeView, Version? Version, string Source, string? File, string? Problem, KernelProfile? Profile)
{
    /// <summary>A kernel whose profile is at hand.</summary>
    internal static KnownKernel Of(KernelProfile profile, ProfileSource source, string? file) =>
        new(profile.CodeView, profile.Version is { Major: 0, Build: 0 } ? null : profile.Version, source.Name, file, null, profile);
}
