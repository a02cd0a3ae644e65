using System.Diagnostics.CodeAnalysis;

namespace Forengate.Symbols;

/// <summary>Where profiles are looked for, in order: what the user named, the host's own store, the packs carried with the program, symbol servers where they are allowed.</summary>
public sealed class ProfileStore
{
    private const string CarriedResource = "Forengate.Symbols.Packs.carried.pack";
    private static readonly Lazy<ProfileStore> CarriedStore = new(OpenCarried);

    private readonly ProfileSource[] _sources;
    private readonly Func<KernelProfile, bool>? _keep;
    private readonly Func<VersionLayout, bool>? _keepLayout;

    public ProfileStore(IEnumerable<ProfilePack> packs)
        : this([.. packs.Select(ProfileSource.Of)], null)
    {
    }

    private ProfileStore(ProfileSource[] sources, Func<KernelProfile, bool>? keep, Func<VersionLayout, bool>? keepLayout = null) =>
        (_sources, _keep, _keepLayout) = (sources, keep, keepLayout);

    /// <summary>The pack inside the program.</summary>
    public static ProfileStore Carried => CarriedStore.Value;

    /// <summary>In the order in which they are asked.</summary>
    public IReadOnlyList<ProfileSource> Sources => _sources;

    /// <summary>What is known without asking for a certain kernel.</summary>
    public IReadOnlyList<ProfilePack> Packs => field ??= [.. _sources.SelectMany(source => source.Packs)];

    /// <summary>Every profile that is known without asking for a certain kernel, pack by pack.</summary>
    public IEnumerable<KernelProfile> Profiles =>
        Packs.SelectMany(static pack => Enumerable.Range(0, pack.Count).Select(index => pack[index])).Where(profile => _keep?.Invoke(profile) != false);

    /// <summary>Every layout that is known by a kernel's version, or by its file's time stamp and size, only: hypotheses for the kernels that no profile is for.</summary>
    public IEnumerable<VersionLayout> Layouts => Packs.SelectMany(static pack => pack.Layouts).Where(layout => _keepLayout?.Invoke(layout) != false);

    /// <summary>The same store without the profiles that do not pass: as if they had never been known.</summary>
    public ProfileStore Where(Func<KernelProfile, bool> keep) =>
        new(_sources, _keep is { } before ? profile => before(profile) && keep(profile) : keep, _keepLayout);

    /// <summary>The same store without the layouts by version that do not pass.</summary>
    public ProfileStore WhereLayouts(Func<VersionLayout, bool> keep) =>
        new(_sources, _keep, _keepLayout is { } before ? layout => before(layout) && keep(layout) : keep);

    /// <summary>A store that asks these sources first, in their order, and then this one's.</summary>
    public ProfileStore With(params IEnumerable<ProfileSource> sources) => new([.. sources, .. _sources], _keep, _keepLayout);

    /// <summary>A store that asks this one's sources first, and then these.</summary>
    public ProfileStore Then(params IEnumerable<ProfileSource> sources) => new([.. _sources, .. sources], _keep);

    /// <summary>Finds the profile of a kernel.</summary>
    /// <param name="symbols">The kernel's CodeView record.</param>
    /// <param name="tried">Where it was found; else what was searched, for people.</param>
    /// <exception cref="IOException">A file that the user named is damaged or cannot be read.</exception>
    public KernelProfile? Find(CodeViewRecord symbols, out string tried)
    {
        var searched = new string[_sources.Length];
        for (var i = 0; i < _sources.Length; i++)
        {
            if (_sources[i].Find(symbols, out searched[i]) is { } profile && _keep?.Invoke(profile) != false)
            {
                tried = searched[i];
                return profile;
            }
        }
        tried = searched.Length == 0 ? "no pack at hand" : string.Join(", ", searched);
        return null;
    }

    /// <summary>Every offset a field has in any known kernel, ascending.</summary>
    public IReadOnlyList<int> OffsetsOf(KernelField field) =>
        _keep is not null ? [.. Profiles.Select(profile => profile.OffsetOf(field)).OfType<int>().Distinct().Order()]
        : Packs.Count == 1 ? Packs[0].OffsetsOf(field) : [.. Packs.SelectMany(pack => pack.OffsetsOf(field)).Distinct().Order()];

    /// <summary>Every size a structure has in any known kernel, ascending.</summary>
    public IReadOnlyList<int> SizesOf(KernelStruct type) =>
        _keep is not null ? [.. Profiles.Select(profile => profile.SizeOf(type)).OfType<int>().Distinct().Order()]
        : Packs.Count == 1 ? Packs[0].SizesOf(type) : [.. Packs.SelectMany(pack => pack.SizesOf(type)).Distinct().Order()];

    [SuppressMessage("Design", "CA1065", Justification = "A program whose own pack is damaged cannot go on; the build's tests see to it that it isn't.")]
    private static ProfileStore OpenCarried()
    {
        var stream = typeof(ProfileStore).Assembly.GetManifestResourceStream(CarriedResource)
            ?? throw new PackFormatException("the program was built without its carried pack");
        return new ProfileStore([ProfilePack.Open("carried pack", new ResourceMemory((UnmanagedMemoryStream)stream).Memory)]);
    }
}
