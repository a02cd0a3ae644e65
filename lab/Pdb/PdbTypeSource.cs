using System.Text.Json;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Pdb;

/// <summary>What a field of a PDB's type holds.</summary>
/// <param name="Kind">base, pointer, array, struct, union, enum, function or bitfield: the words of ISF.</param>
/// <param name="Name">Of a named type.</param>
/// <param name="Inner">What it points to, consists of, or whose bits it is.</param>
/// <param name="A">Elements of an array, or the first bit.</param>
/// <param name="B">Bits.</param>
internal sealed record PdbFieldType(string Kind, string Name, PdbFieldType? Inner = null, int A = 0, int B = 0);

internal sealed record PdbMember(string Name, int Offset, PdbFieldType Type);

internal sealed record PdbStructure(string Name, bool IsUnion, int Size, IReadOnlyList<PdbMember> Members);

internal sealed record PdbEnumeration(string Name, string Base, IReadOnlyList<KeyValuePair<string, long>> Constants);

/// <summary>The types and symbols that a PDB is made of: all of a build's where its full table is at hand, else those that twins use.</summary>
internal sealed record PdbTypeSource(
    IReadOnlyDictionary<string, PdbStructure> Structures, IReadOnlyDictionary<string, PdbEnumeration> Enumerations, IReadOnlyDictionary<string, uint> Symbols)
{
    /// <summary>From an ISF file.</summary>
    public static PdbTypeSource Of(ReadOnlyMemory<byte> isf)
    {
        using var document = JsonDocument.Parse(isf);
        var root = document.RootElement;
        var structures = root.GetProperty("user_types").EnumerateObject().Select(type => new PdbStructure(
            type.Name, type.Value.GetProperty("kind").GetString() == "union", type.Value.GetProperty("size").GetInt32(),
            [.. type.Value.GetProperty("fields").EnumerateObject().Select(field => new PdbMember(field.Name, field.Value.GetProperty("offset").GetInt32(), Type(field.Value.GetProperty("type"))))
                .OrderBy(field => field.Offset).ThenBy(field => field.Type.A)]));
        var enumerations = root.GetProperty("enums").EnumerateObject().Select(type => new PdbEnumeration(
            type.Name, type.Value.GetProperty("base").GetString()!,
            [.. type.Value.GetProperty("constants").EnumerateObject().Select(constant => KeyValuePair.Create(constant.Name, constant.Value.GetInt64())).OrderBy(constant => constant.Value)]));
        var symbols = new SortedDictionary<string, uint>(StringComparer.Ordinal);
        foreach (var symbol in root.GetProperty("symbols").EnumerateObject())
            symbols[symbol.Value.TryGetProperty("linkage_name", out var linked) ? linked.GetString()! : symbol.Name] = symbol.Value.GetProperty("address").GetUInt32();
        return new PdbTypeSource(structures.ToDictionary(type => type.Name), enumerations.ToDictionary(type => type.Name), symbols);
    }

    /// <summary>From a carried table, which knows of a field its size and structure only.</summary>
    public static PdbTypeSource Of(KernelTables tables)
    {
        var sizes = tables.AllTypes.ToDictionary(type => type.Name, type => type.Size);
        var structures = tables.AllTypes.ToDictionary(type => type.Name, type => new PdbStructure(
            type.Name, false, type.Size,
            [.. type.Fields.Values.OrderBy(field => field.Offset).ThenBy(field => field.BitPosition).Select(field => new PdbMember(field.Name, field.Offset, Type(sizes, field)))]));
        return new PdbTypeSource(structures, new Dictionary<string, PdbEnumeration>(), new SortedDictionary<string, uint>(tables.AllSymbols.ToDictionary(), StringComparer.Ordinal));
    }

    private static PdbFieldType Type(JsonElement type)
    {
        var kind = type.GetProperty("kind").GetString()!;
        return kind switch
        {
            "pointer" => new PdbFieldType(kind, "", Type(type.GetProperty("subtype"))),
            "array" => new PdbFieldType(kind, "", Type(type.GetProperty("subtype")), type.GetProperty("count").GetInt32()),
            "bitfield" => new PdbFieldType(kind, "", Type(type.GetProperty("type")), type.GetProperty("bit_position").GetInt32(), type.GetProperty("bit_length").GetInt32()),
            "function" => new PdbFieldType(kind, ""),
            _ => new PdbFieldType(kind, type.GetProperty("name").GetString()!),
        };
    }

    private static PdbFieldType Type(Dictionary<string, int> sizes, KernelField field)
    {
        var size = field.Size / Math.Max(field.Count, 1);
        var known = field.Type is not null && sizes.TryGetValue(field.Type, out var whole) && whole == size;
        var one = known ? new PdbFieldType("struct", field.Type!) : size switch
        {
            1 => new PdbFieldType("base", "unsigned char"),
            2 => new PdbFieldType("base", "unsigned short"),
            4 => new PdbFieldType("base", "unsigned long"),
            8 => new PdbFieldType("base", "unsigned long long"),
            _ => new PdbFieldType("array", "", new PdbFieldType("base", "unsigned char"), size),
        };
        return field.BitLength != 0 ? new PdbFieldType("bitfield", "", one, field.BitPosition, field.BitLength)
            : field.Count != 1 ? new PdbFieldType("array", "", one, field.Count)
            : one;
    }
}
