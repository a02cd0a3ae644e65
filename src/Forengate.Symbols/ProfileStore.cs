using System.Diagnostics.CodeAnalysis;

namespace Forengate.Symbols;

/// <summary>Where profiles are looked for, in order: what the user named, then the packs carried with the program.</summary>
public sealed class ProfileStore
{
    private const string CarriedResource = "Forengate.Symbols.Packs.carried.pack";
    private static readonly Lazy<ProfileStore> CarriedStore = new(OpenCarried);

    private readonly ProfileSource[] _sources;

    public ProfileStore(IEnumerable<ProfilePack> packs) => _sources = [.. packs.Select(ProfileSource.Of)];

    private ProfileStore(ProfileSource[] sources) => _sources = sources;

    /// <summary>The pack inside the program.</summary>
    public static ProfileStore Carried => CarriedStore.Value;

    /// <summary>In the order in which they are asked.</summary>
    public IReadOnlyList<ProfileSource> Sources => _sources;

    /// <summary>What is known without asking for a certain kernel.</summary>
    public IReadOnlyList<ProfilePack> Packs => field ??= [.. _sources.SelectMany(source => source.Packs)];

    /// <summary>A store that asks these sources first, in their order, and then this one's.</summary>
    public ProfileStore With(params IEnumerable<ProfileSource> sources) => new([.. sources, .. _sources]);

    /// <summary>Finds the profile of a kernel.</summary>
    /// <param name="symbols">The kernel's CodeView record.</param>
    /// <param name="tried">Where it was found; else what was searched, for people.</param>
    /// <exception cref="IOException">A file that the user named is damaged or cannot be read.</exception>
    public KernelProfile? Find(CodeViewRecord symbols, out string tried)
    {
        var failed = new string[_sources.Length];
        for (var i = 0; i < _sources.Length; i++)
        {
            if (_sources[i].Find(symbols, out failed[i]) is { } profile)
            {
                tried = failed[i];
                return profile;
            }
        }
        tried = failed.Length == 0 ? "no pack at hand" : string.Join(", ", failed);
        return null;
    }

    /// <summary>Every offset a field has in any known kernel, ascending.</summary>
    public IReadOnlyList<int> OffsetsOf(KernelField field) =>
        Packs.Count == 1 ? Packs[0].OffsetsOf(field) : [.. Packs.SelectMany(pack => pack.OffsetsOf(field)).Distinct().Order()];

    /// <summary>Every size a structure has in any known kernel, ascending.</summary>
    public IReadOnlyList<int> SizesOf(KernelStruct type) =>
        Packs.Count == 1 ? Packs[0].SizesOf(type) : [.. Packs.SelectMany(pack => pack.SizesOf(type)).Distinct().Order()];

    [SuppressMessage("Design", "CA1065", Justification = "A program whose own pack is damaged cannot go on; the build's tests see to it that it isn't.")]
    private static ProfileStore OpenCarried()
    {
        using var stream = typeof(ProfileStore).Assembly.GetManifestResourceStream(CarriedResource)
            ?? throw new PackFormatException("the program was built without its carried pack");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return new ProfileStore([ProfilePack.Open("carried pack", bytes)]);
    }
}
