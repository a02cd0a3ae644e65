namespace Forengate.Symbols;

/// <summary>Puts profiles of several sources into one pack. The first profile of a kernel counts; the same profiles give the same bytes, in whatever order they came.</summary>
public sealed class PackMerge
{
    /// <summary>Bytes a pack should not grow beyond: it is mapped by every command, and handed to every host of a site.</summary>
    public const int UsualLimit = 1 << 20;

    /// <summary>Some sources do not say a kernel's version: that is no difference between them.</summary>
    private static readonly Version s_any = new(0, 0, 0, 0);

    private readonly PackWriter _writer = new();
    private readonly Dictionary<string, KernelProfile> _taken = new(StringComparer.Ordinal);
    private readonly List<string> _differing = [];

    /// <summary>Kernels taken.</summary>
    public int Count => _taken.Count;

    /// <summary>Layouts taken that are known by version only.</summary>
    public int Layouts { get; private set; }

    /// <summary>Kernels that were offered twice with different layouts: which source won.</summary>
    public IReadOnlyList<string> Differing => _differing;

    /// <summary>Takes a profile, unless the kernel is in the pack already.</summary>
    /// <param name="profile">The profile.</param>
    /// <param name="version">The kernel's file version where the profile does not say it; null for the profile's own.</param>
    public bool Add(KernelProfile profile, Version? version = null)
    {
        if (_taken.TryGetValue(profile.CodeView.Key, out var first))
        {
            if (!AreSame(first, profile))
                _differing.Add($"{profile.CodeView.Key}: {first.Origin} and {profile.Origin} differ; the former was taken");
            return false;
        }
        _taken.Add(profile.CodeView.Key, profile);
        _writer.Add(profile.CodeView.Guid, profile.CodeView.Age, Whole(version) ?? profile.Version, profile.SizeOf, profile.Field, profile.RvaOf);
        return true;
    }

    /// <summary>Takes a layout that is known by version only, unless the pack has that source's of that version already.</summary>
    public bool Add(VersionLayout layout)
    {
        var isNew = _writer.AddLayout(layout.Version, layout.Machine, layout.Origin, (layout.Timestamp, layout.ImageSize), layout.SizeOf, layout.Field);
        if (isNew)
            Layouts++;
        return isNew;
    }

    /// <summary>The pack.</summary>
    /// <param name="mostBytes">What it may have.</param>
    /// <exception cref="PackFormatException">It would be larger, or empty.</exception>
    public byte[] ToBytes(int mostBytes = UsualLimit)
    {
        if (Count == 0 && Layouts == 0)
            throw new PackFormatException("no kernel is left to pack: name symbol files or packs, or take the filter away");
        var bytes = _writer.ToBytes();
        return bytes.Length <= mostBytes
            ? bytes
            : throw new PackFormatException($"the pack of {Count} kernels would have {bytes.Length} bytes, {mostBytes} at most: take fewer builds, or allow more (--max-size)");
    }

    internal static byte[] PackOf(KernelProfile profile, Version? version = null)
    {
        var one = new PackMerge();
        one.Add(profile, version);
        return one.ToBytes();
    }

    /// <summary>Four parts, as a pack has them.</summary>
    private static Version? Whole(Version? version) => version is null ? null : new Version(version.Major, version.Minor, Math.Max(version.Build, 0), Math.Max(version.Revision, 0));

    private static bool AreSame(KernelProfile one, KernelProfile other) => PackOf(one, s_any).AsSpan().SequenceEqual(PackOf(other, s_any));
}
