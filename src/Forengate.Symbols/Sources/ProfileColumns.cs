namespace Forengate.Symbols;

/// <summary>Fills the columns of <see cref="KernelSchema"/> from full tables: what a profile keeps of a PDB or an ISF file. What cannot be true of a structure is left out.</summary>
internal sealed class ProfileColumns(ISymbolTables tables)
{
    /// <summary>Base classes and anonymous members within each other that are searched.</summary>
    private const int MaxDepth = 8;

    private static readonly Version Unknown = new(0, 0, 0, 0);

    private readonly TypeLayout?[] _types = FindTypes(tables);

    /// <summary>A pack of this one image, named after its tables.</summary>
    public static ProfilePack MakePack(ISymbolTables tables, Version? version, string? origin = null)
    {
        var columns = new ProfileColumns(tables);
        var writer = new PackWriter();
        writer.Add(tables.CodeView.Guid, tables.CodeView.Age, version is null ? Unknown : new Version(version.Major, version.Minor, Math.Max(version.Build, 0), Math.Max(version.Revision, 0)),
            columns.SizeOf, columns.PlaceOf, columns.RvaOf);
        return ProfilePack.Open(origin ?? tables.Name, writer.ToBytes());
    }

    public int? SizeOf(KernelStruct type) => _types[(int)type] is { } found ? (int)found.Size : null;

    public FieldPlace? PlaceOf(KernelField field)
    {
        var (owner, names) = KernelSchema.Fields[(int)field];
        if (_types[(int)owner] is not { } type)
            return null;
        foreach (var path in names.Split('|'))
        {
            if (Walk(type, path) is { } place && place.Offset <= type.Size)
                return place;
        }
        return null;
    }

    public uint? RvaOf(KernelGlobal global)
    {
        foreach (var name in KernelSchema.Globals[(int)global].Split('|'))
        {
            // The highest value says in a pack that there is none.
            if (tables.RvaOf(name) is { } rva and not PackLayout.None)
                return rva;
        }
        return null;
    }

    private static TypeLayout?[] FindTypes(ISymbolTables tables)
    {
        var types = new TypeLayout?[KernelSchema.Structs.Length];
        for (var i = 0; i < types.Length; i++)
        {
            foreach (var name in KernelSchema.Structs[i].Split('|'))
                types[i] ??= tables.FindType(name);
            if (types[i] is { Size: > PackLayout.MaxStructSize })
                types[i] = null;
        }
        return types;
    }

    /// <summary>Follows members through nested structures and unions, never through pointers.</summary>
    private FieldPlace? Walk(TypeLayout? type, string path)
    {
        long offset = 0;
        var members = path.Split('.');
        for (var i = 0; i < members.Length; i++)
        {
            if (type is null || Find(type, members[i], 0) is not { } found)
                return null;
            offset += found.Offset;
            if (offset is < 0 or >= PackLayout.MaxStructSize)
                return null;
            if (i == members.Length - 1)
                return Place((int)offset, found);
            type = found.Type.IsComposite && !found.IsBitField ? tables.FindType(found.Type.Name) : null;
        }
        return null;
    }

    /// <summary>A field as code would name it: base classes' and anonymous members' fields are the type's own.</summary>
    private TypeField? Find(TypeLayout type, string name, int depth)
    {
        if (type.Find(name) is { } direct)
            return direct;
        if (depth == MaxDepth)
            return null;
        foreach (var field in type.Fields)
        {
            if (field.IsTransparent && field.Type.IsComposite && tables.FindType(field.Type.Name) is { } inner && Find(inner, name, depth + 1) is { } found)
                return found with { Offset = field.Offset + found.Offset };
        }
        return null;
    }

    /// <summary>A bit-field of all 64 bits is a whole field.</summary>
    private static FieldPlace? Place(int offset, TypeField field) => field.BitLength switch
    {
        0 or 64 => new FieldPlace(offset, 0, 0),
        < 64 when field.BitPosition + field.BitLength <= 64 => new FieldPlace(offset, field.BitPosition, field.BitLength),
        _ => null,
    };
}
