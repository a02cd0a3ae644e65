namespace Forengate.Symbols;

/// <summary>Where one kernel build keeps its fields and globals: a light view over a pack, whose bytes look-ups read, or a table put together in memory.</summary>
public sealed class KernelProfile
{
    private readonly ProfilePack? _pack;
    private readonly int _index;
    private readonly int _layout;
    private readonly ProfileTable? _table;

    internal KernelProfile(ProfilePack pack, int index)
    {
        _pack = pack;
        _index = index;
        _layout = pack.LayoutOf(index);
        CodeView = pack.CodeViewOf(index);
        Version = pack.VersionOf(index);
        Origin = pack.Name;
    }

    /// <summary>A profile that comes from no pack.</summary>
    /// <param name="codeView">Which symbols the kernel names.</param>
    /// <param name="version">File version of the kernel, as far as it is known.</param>
    /// <param name="origin">Where it came from, for people.</param>
    /// <param name="table">What it holds; not to be changed any more.</param>
    /// <param name="isDeduced">True where it was read out of the very memory it is for, by no symbols at all.</param>
    public KernelProfile(CodeViewRecord codeView, Version version, string origin, ProfileTable table, bool isDeduced)
    {
        (CodeView, Version, Origin, _table, IsDeduced) = (codeView, version, origin, table, isDeduced);
    }

    /// <summary>Which symbols the profile was made from.</summary>
    public CodeViewRecord CodeView { get; }

    /// <summary>File version of the kernel: 10.0.19041.329.</summary>
    public Version Version { get; }

    /// <summary>Where the profile came from, for people.</summary>
    public string Origin { get; }

    /// <summary>Found in the kernel's own memory; then what it does not know may exist nevertheless.</summary>
    public bool IsDeduced { get; }

    /// <summary>Size of a structure in bytes; null where the build has none of that name.</summary>
    public int? SizeOf(KernelStruct type) => _table is null ? _pack!.SizeOf(_layout, type) : _table.SizeOf(type);

    /// <summary>Offset of a field in bytes from the start of its structure; null where the build has no such field.</summary>
    public int? OffsetOf(KernelField field) => Field(field)?.Offset;

    /// <summary>Offset and, for a bit-field, which bits; null where the build has no such field.</summary>
    public FieldPlace? Field(KernelField field) => _table is null ? _pack!.PlaceOf(_layout, field) : _table.PlaceOf(field);

    /// <summary>Address of a global or routine relative to the kernel's base; null where the build has none of that name.</summary>
    public uint? RvaOf(KernelGlobal global) => _table is null ? _pack!.RvaOf(_index, global) : _table.RvaOf(global);

    /// <summary>Makes the profile of an image from its types and symbols.</summary>
    /// <param name="tables">Where they are: a PDB, an ISF file.</param>
    /// <param name="version">File version of the kernel where the caller knows it; else that of the tables; 0.0.0.0 where they don't say.</param>
    public static KernelProfile From(ISymbolTables tables, Version? version = null) => ProfileColumns.MakePack(tables, version ?? tables.Version)[0];

    /// <summary>The same, with another origin than the tables' file: where that came from.</summary>
    internal static KernelProfile From(ISymbolTables tables, string origin, Version? version) => ProfileColumns.MakePack(tables, version ?? tables.Version, origin)[0];

    public override string ToString() => IsDeduced ? $"{Version} (deduced)" : $"{Version} ({CodeView.Key})";
}
