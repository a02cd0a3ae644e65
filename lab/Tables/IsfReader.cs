using System.Text.Json;

namespace Forengate.Lab.Tables;

/// <summary>Reads a Volatility 3 ISF file (schema 6) of a Windows kernel. Symbol addresses in it are RVAs.</summary>
internal static class IsfReader
{
    public static KernelTables Read(ReadOnlyMemory<byte> json, KernelBuild build)
    {
        using var document = JsonDocument.Parse(json);
        var root = document.RootElement;
        var pdb = root.GetProperty("metadata").GetProperty("windows").GetProperty("pdb");
        build = build with { Guid = pdb.GetProperty("GUID").GetString()!.ToUpperInvariant(), Age = pdb.GetProperty("age").GetUInt32() };

        var types = ReadTypes(root);

        var symbols = new Dictionary<string, uint>(StringComparer.Ordinal);
        uint last = 0;
        foreach (var symbol in root.GetProperty("symbols").EnumerateObject())
        {
            var rva = symbol.Value.GetProperty("address").GetUInt32();
            symbols[symbol.Name] = rva;
            last = Math.Max(last, rva);
        }
        return new KernelTables(build, last, types, symbols);
    }

    /// <summary>Structures and unions of an ISF file of x64, with what each field measures.</summary>
    public static Dictionary<string, KernelType> ReadTypes(JsonElement root)
    {
        var sizes = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var type in root.GetProperty("base_types").EnumerateObject())
            sizes[type.Name] = type.Value.GetProperty("size").GetInt32();
        var enums = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var type in root.GetProperty("enums").EnumerateObject())
            enums[type.Name] = type.Value.GetProperty("size").GetInt32();
        var users = root.GetProperty("user_types");
        var structures = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var type in users.EnumerateObject())
            structures[type.Name] = type.Value.GetProperty("size").GetInt32();

        (int Size, string? Type, int Count, int Position, int Length) Measure(JsonElement type)
        {
            switch (type.GetProperty("kind").GetString())
            {
                case "pointer" or "function": return (8, null, 1, 0, 0);
                case "base": return (sizes[type.GetProperty("name").GetString()!], null, 1, 0, 0);
                // An enumeration without a name may lack its own entry: Microsoft's compilers make all of them 4 bytes.
                case "enum": return (enums.GetValueOrDefault(type.GetProperty("name").GetString()!, sizeof(int)), null, 1, 0, 0);
                case "array":
                    var element = Measure(type.GetProperty("subtype"));
                    var count = type.GetProperty("count").GetInt32();
                    return (element.Size * count, element.Type, count, 0, 0);
                case "bitfield":
                    return (Measure(type.GetProperty("type")).Size, null, 1, type.GetProperty("bit_position").GetInt32(), type.GetProperty("bit_length").GetInt32());
                default:
                    var name = type.GetProperty("name").GetString()!;
                    return (structures.GetValueOrDefault(name), name, 1, 0, 0);
            }
        }

        var types = new Dictionary<string, KernelType>(StringComparer.Ordinal);
        foreach (var type in users.EnumerateObject())
        {
            var fields = new Dictionary<string, KernelField>(StringComparer.Ordinal);
            foreach (var field in type.Value.GetProperty("fields").EnumerateObject())
            {
                var measured = Measure(field.Value.GetProperty("type"));
                fields.Add(field.Name, new KernelField(field.Name, field.Value.GetProperty("offset").GetInt32(),
                    measured.Size, measured.Type, measured.Count, measured.Position, measured.Length));
            }
            types.Add(type.Name, new KernelType(type.Name, structures[type.Name], fields));
        }
        return types;
    }
}
