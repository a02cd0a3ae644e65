using System.Diagnostics.CodeAnalysis;

namespace Forengate.Symbols;

/// <summary>Where profiles are looked for, in order. Today: the packs carried with the program.</summary>
public sealed class ProfileStore
{
    private const string CarriedResource = "Forengate.Symbols.Packs.carried.pack";
    private static readonly Lazy<ProfileStore> CarriedStore = new(OpenCarried);

    private readonly ProfilePack[] _packs;
    private readonly Func<KernelProfile, bool>? _keep;

    public ProfileStore(IEnumerable<ProfilePack> packs)
        : this([.. packs], null)
    {
    }

    private ProfileStore(ProfilePack[] packs, Func<KernelProfile, bool>? keep) => (_packs, _keep) = (packs, keep);

    /// <summary>The pack inside the program.</summary>
    public static ProfileStore Carried => CarriedStore.Value;

    public IReadOnlyList<ProfilePack> Packs => _packs;

    /// <summary>Every profile there is, pack by pack.</summary>
    public IEnumerable<KernelProfile> Profiles =>
        _packs.SelectMany(static pack => Enumerable.Range(0, pack.Count).Select(index => pack[index])).Where(profile => _keep?.Invoke(profile) != false);

    /// <summary>The same store without the profiles that do not pass: as if they had never been known.</summary>
    public ProfileStore Where(Func<KernelProfile, bool> keep) =>
        new(_packs, _keep is { } before ? profile => before(profile) && keep(profile) : keep);

    /// <summary>Finds the profile of a kernel.</summary>
    /// <param name="symbols">The kernel's CodeView record.</param>
    /// <param name="tried">What was searched, for people: said when nothing was found.</param>
    public KernelProfile? Find(CodeViewRecord symbols, out string tried)
    {
        foreach (var pack in _packs)
        {
            if (pack.Find(symbols.Guid, symbols.Age) is { } profile && _keep?.Invoke(profile) != false)
            {
                tried = pack.Name;
                return profile;
            }
        }
        tried = _packs.Length == 0 ? "no pack at hand" : string.Join(", ", _packs.Select(pack => $"{pack.Name} ({pack.Count} kernels)"));
        return null;
    }

    /// <summary>Every offset a field has in any known kernel, ascending.</summary>
    public IReadOnlyList<int> OffsetsOf(KernelField field) =>
        _keep is not null ? [.. Profiles.Select(profile => profile.OffsetOf(field)).OfType<int>().Distinct().Order()]
        : _packs.Length == 1 ? _packs[0].OffsetsOf(field) : [.. _packs.SelectMany(pack => pack.OffsetsOf(field)).Distinct().Order()];

    /// <summary>Every size a structure has in any known kernel, ascending.</summary>
    public IReadOnlyList<int> SizesOf(KernelStruct type) =>
        _keep is not null ? [.. Profiles.Select(profile => profile.SizeOf(type)).OfType<int>().Distinct().Order()]
        : _packs.Length == 1 ? _packs[0].SizesOf(type) : [.. _packs.SelectMany(pack => pack.SizesOf(type)).Distinct().Order()];

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
