namespace Forengate.Symbols;

/// <summary>Where one kernel build keeps its fields and globals. A light view over a pack: look-ups read the pack's bytes.</summary>
public sealed class KernelProfile
{
    private readonly ProfilePack _pack;
    private readonly int _index;
    private readonly int _layout;

    internal KernelProfile(ProfilePack pack, int index)
    {
        _pack = pack;
        _index = index;
        _layout = pack.LayoutOf(index);
        CodeView = pack.CodeViewOf(index);
        Version = pack.VersionOf(index);
    }

    /// <summary>Which symbols the profile was made from.</summary>
    public CodeViewRecord CodeView { get; }

    /// <summary>File version of the kernel: 10.0.19041.329.</summary>
    public Version Version { get; }

    /// <summary>Where the profile came from, for people.</summary>
    public string Origin => _pack.Name;

    /// <summary>Size of a structure in bytes; null where the build has none of that name.</summary>
    public int? SizeOf(KernelStruct type) => _pack.SizeOf(_layout, type);

    /// <summary>Offset of a field in bytes from the start of its structure; null where the build has no such field.</summary>
    public int? OffsetOf(KernelField field) => Field(field)?.Offset;

    /// <summary>Offset and, for a bit-field, which bits; null where the build has no such field.</summary>
    public FieldPlace? Field(KernelField field) => _pack.PlaceOf(_layout, field);

    /// <summary>Address of a global or routine relative to the kernel's base; null where the build has none of that name.</summary>
    public uint? RvaOf(KernelGlobal global) => _pack.RvaOf(_index, global);

    public override string ToString() => $"{Version} ({CodeView.Key})";
}
