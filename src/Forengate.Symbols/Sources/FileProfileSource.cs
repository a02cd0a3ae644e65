namespace Forengate.Symbols;

/// <summary>One file of symbols: what it has was made a pack of.</summary>
internal sealed class FileProfileSource(ProfilePack pack) : ProfileSource
{
    public override string Name => pack.Name;

    public override IReadOnlyList<ProfilePack> Packs { get; } = [pack];

    public override KernelProfile? Find(CodeViewRecord symbols, out string tried)
    {
        var profile = pack.Find(symbols.Guid, symbols.Age);
        tried = profile is not null ? Name
            : pack.Count == 1 ? $"{Name} (of another image: {pack[0].CodeView.Key})"
            : $"{Name} ({pack.Count} kernels)";
        return profile;
    }
}
