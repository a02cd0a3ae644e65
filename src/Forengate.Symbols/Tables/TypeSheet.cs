namespace Forengate.Symbols;

/// <summary>One line of a type as people read it.</summary>
/// <param name="Field">Its name; of a field within a field, both, with a dot.</param>
/// <param name="Offset">Bytes from the start of the type; of a bit-field, of its unit.</param>
/// <param name="Size">Bytes; null where the source does not say.</param>
/// <param name="BitPosition">Lowest bit; null for whole fields.</param>
/// <param name="BitLength">Bits; null for whole fields.</param>
/// <param name="Type">What it holds, as in C; null where the source does not say.</param>
public sealed record TypeRow(string Field, long Offset, long? Size, int? BitPosition, int? BitLength, string? Type);

/// <summary>A type of one build laid out for people: all of it from full tables, the carried fields from a profile.</summary>
public sealed class TypeSheet
{
    /// <summary>Lines of a sheet: no type has more, but unions within unions could multiply.</summary>
    private const int MaxRows = 1 << 16;

    /// <summary>Anonymous members within each other.</summary>
    private const int MaxAnonymous = 16;

    private readonly List<TypeRow> _rows = [];

    private TypeSheet(string type, string build, long? size, bool isWhole) => (Type, Build, Size, IsWhole) = (type, build, size, isWhole);

    public string Type { get; }

    /// <summary>Which kernel and from where, for people.</summary>
    public string Build { get; }

    /// <summary>Bytes; null where it is not known.</summary>
    public long? Size { get; }

    /// <summary>All fields are there; else those that profiles carry.</summary>
    public bool IsWhole { get; }

    /// <summary>In the order of their offsets.</summary>
    public IReadOnlyList<TypeRow> Rows => _rows;

    /// <summary>The fields of a type that a profile carries; null where it has no such type.</summary>
    public static TypeSheet? Of(KernelProfile profile, string build, string type)
    {
        if (KernelSchema.FindStruct(type) is not { } owner || profile.SizeOf(owner) is not { } size)
            return null;
        var name = KernelSchema.Structs[(int)owner].Split('|')[0];
        var sheet = new TypeSheet(name, build, size, isWhole: false);
        for (var i = 0; i < KernelSchema.Fields.Length; i++)
        {
            if (KernelSchema.Fields[i].Struct != owner || profile.Field((KernelField)i) is not { } place)
                continue;
            var field = KernelSchema.Fields[i].Name.Split('|')[0];
            sheet._rows.Add(new TypeRow(field, place.Offset, null, place.IsBitField ? place.BitPosition : null, place.IsBitField ? place.BitLength : null, null));
        }
        sheet.Sort();
        return sheet;
    }

    /// <summary>All fields of a type; null where the tables have no such type.</summary>
    /// <param name="tables">A PDB, an ISF file.</param>
    /// <param name="build">Which kernel, for people.</param>
    /// <param name="type">Its name, with or without the leading underscore.</param>
    /// <param name="depth">How many structures within structures are gone into; anonymous ones always are.</param>
    public static TypeSheet? Of(ISymbolTables tables, string build, string type, int depth)
    {
        if ((tables.FindType(type) ?? tables.FindType("_" + type)) is not { } found)
            return null;
        var sheet = new TypeSheet(found.Name, build, found.Size, isWhole: true);
        sheet.Add(tables, found, "", 0, depth, 0);
        sheet.Sort();
        return sheet;
    }

    /// <summary>What differs from this build to another, in the order of this one's offsets; fields that only the other has stand behind.</summary>
    public IEnumerable<TypeDifference> Against(TypeSheet other)
    {
        if (Size != other.Size)
            yield return new TypeDifference("(size)", null, null, $"0x{Size:x} bytes, then 0x{other.Size:x}");
        var theirs = other._rows.GroupBy(static row => row.Field).ToDictionary(static rows => rows.Key, static rows => rows.First(), StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var row in _rows)
        {
            if (!seen.Add(row.Field))
                continue;
            if (!theirs.TryGetValue(row.Field, out var their))
                yield return new TypeDifference(row.Field, row.Offset, null, "gone");
            else if (Change(row, their) is { } change)
                yield return new TypeDifference(row.Field, row.Offset, their.Offset, change);
        }
        foreach (var row in other._rows)
        {
            if (seen.Add(row.Field))
                yield return new TypeDifference(row.Field, null, row.Offset, "new");
        }
    }

    private static string? Change(TypeRow one, TypeRow other)
    {
        var changes = new List<string>();
        if (other.Offset != one.Offset)
            changes.Add($"moved by {(other.Offset > one.Offset ? "+" : "-")}0x{Math.Abs(other.Offset - one.Offset):x}");
        if ((one.BitPosition, one.BitLength) != (other.BitPosition, other.BitLength))
            changes.Add($"bits {Bits(one)}, then {Bits(other)}");
        if (one.Size is { } size && other.Size is { } otherSize && size != otherSize)
            changes.Add($"{size} bytes, then {otherSize}");
        // Types without a name are called by their place in the file, which says nothing.
        if (one.Type is { } type && other.Type is { } otherType && type != otherType && !type.Contains("__unnamed", StringComparison.Ordinal) && !otherType.Contains("__unnamed", StringComparison.Ordinal))
            changes.Add($"{type}, then {otherType}");
        return changes.Count == 0 ? null : string.Join("; ", changes);
    }

    private static string Bits(TypeRow row) => row.BitLength is { } length ? $"{row.BitPosition}-{row.BitPosition + length - 1}" : "all";

    private void Add(ISymbolTables tables, TypeLayout type, string prefix, long start, int depth, int anonymous)
    {
        foreach (var field in type.Fields)
        {
            if (_rows.Count >= MaxRows)
                return;
            var (offset, inner) = (start + field.Offset, field.Type.IsComposite && !field.IsBitField ? tables.FindType(field.Type.Name) : null);
            if (field.IsTransparent && inner is not null && anonymous < MaxAnonymous)
            {
                Add(tables, inner, prefix, offset, depth, anonymous + 1);
                continue;
            }
            var name = field.Name.Length == 0 ? "(anonymous)" : field.Name;
            _rows.Add(new TypeRow(
                prefix + name, offset, field.Type.Size, field.IsBitField ? field.BitPosition : null, field.IsBitField ? field.BitLength : null, field.Type.ToString()));
            if (inner is not null && depth > 0)
                Add(tables, inner, $"{prefix}{name}.", offset, depth - 1, anonymous);
        }
    }

    /// <summary>Stable: what lies at the same place stays in the order of the file, a structure before what is in it.</summary>
    private void Sort()
    {
        var sorted = _rows.OrderBy(static row => row.Offset).ThenBy(static row => row.BitPosition ?? -1).ToList();
        _rows.Clear();
        _rows.AddRange(sorted);
    }
}

/// <summary>A field that is not the same in two builds.</summary>
/// <param name="Field">Its name.</param>
/// <param name="Offset">Where the first build has it; null where it has not.</param>
/// <param name="OtherOffset">Where the other build has it; null where it has not.</param>
/// <param name="Change">In words.</param>
public sealed record TypeDifference(string Field, long? Offset, long? OtherOffset, string Change);
