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

    /// <summary>Makes the profile of an image from its types and symbols.</summary>
    /// <param name="tables">Where they are: a PDB, an ISF file.</param>
    /// <param name="version">File version of the kernel where the caller knows it; else that of the tables; 0.0.0.0 where they don't say.</param>
    public static KernelProfile From(ISymbolTables tables, Version? version = null) => ProfileColumns.MakePack(tables, version ?? tables.Version)[0];

    public override string ToString() => $"{Version} ({CodeView.Key})";
}
