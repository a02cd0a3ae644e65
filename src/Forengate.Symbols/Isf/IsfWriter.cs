using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Forengate.Symbols;

/// <summary>Writes types and symbols in Volatility 3's intermediate symbol format (schema 6.1.0), so that a PDB or a table at hand serves there. The same tables give the same bytes.</summary>
public static class IsfWriter
{
    private const string Format = "6.1.0";
    private const string Producer = "forengate";
    private const string ProducerVersion = "0.1.0";

    /// <summary>The writer's buffer is given to the stream whenever it has grown to this many bytes.</summary>
    private const int FlushAt = 1 << 20;

    /// <summary>Writes JSON without blanks.</summary>
    /// <param name="stream">Where to.</param>
    /// <param name="tables">What.</param>
    /// <param name="database">Name of the PDB as the image's CodeView record has it: Volatility looks the file up by it. Null takes that of the tables, which for a PDB is its file's.</param>
    public static void Write(Stream stream, ISymbolTables tables, string? database = null)
    {
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        WriteMetadata(json, tables, database ?? tables.CodeView.Name);
        WriteBases(json, tables);
        WriteEnums(json, tables);
        WriteTypes(json, tables);
        WriteSymbols(json, tables);
        json.WriteEndObject();
    }

    private static void WriteMetadata(Utf8JsonWriter json, ISymbolTables tables, string database)
    {
        json.WriteStartObject("metadata");
        json.WriteString("format", Format);
        json.WriteStartObject("producer");
        json.WriteString("name", Producer);
        json.WriteString("version", ProducerVersion);
        json.WriteEndObject();
        json.WriteStartObject("windows");
        json.WriteStartObject("pdb");
        json.WriteString("GUID", tables.CodeView.Guid.ToString("N").ToUpperInvariant());
        json.WriteNumber("age", tables.CodeView.Age);
        json.WriteString("database", database);
        json.WriteNumber("machine_type", tables.Machine);
        json.WriteEndObject();
        if (tables.Version is { } version)
        {
            json.WriteStartObject("pe");
            json.WriteNumber("major", version.Major);
            json.WriteNumber("minor", version.Minor);
            json.WriteNumber("build", Math.Max(version.Build, 0));
            json.WriteNumber("revision", Math.Max(version.Revision, 0));
            json.WriteEndObject();
        }
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteBases(Utf8JsonWriter json, ISymbolTables tables)
    {
        var used = new SortedDictionary<string, BaseType>(StringComparer.Ordinal) { ["pointer"] = new("pointer", tables.PointerSize, "int", false) };
        void Note(TypeReference? type)
        {
            for (; type is not null; type = type.Element)
            {
                if (type.Kind == TypeKind.Base)
                    used.TryAdd(type.Name, BaseType.Of(type.Name) ?? new BaseType(type.Name, (int)Math.Clamp(type.Size, 0, 255), "int", false));
            }
        }
        foreach (var field in tables.Types.SelectMany(type => type.Fields))
            Note(field.Type);
        foreach (var type in tables.Enums)
            Note(type.Underlying);
        // What Volatility's own structures for pools and the like are made of is there in every file of its converter.
        foreach (var name in new[] { "void", "unsigned char", "char", "unsigned short", "unsigned long", "unsigned long long", "long", "long long" })
            Note(BaseType.Of(name)!.Reference);
        json.WriteStartObject("base_types");
        foreach (var (name, type) in used)
        {
            json.WriteStartObject(name);
            json.WriteString("endian", "little");
            json.WriteString("kind", type.Form);
            json.WriteBoolean("signed", type.IsSigned);
            json.WriteNumber("size", type.Size);
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void WriteEnums(Utf8JsonWriter json, ISymbolTables tables)
    {
        json.WriteStartObject("enums");
        foreach (var type in tables.Enums.OrderBy(type => type.Name, StringComparer.Ordinal))
        {
            json.WriteStartObject(type.Name);
            json.WriteString("base", type.Underlying.Name);
            json.WriteStartObject("constants");
            // A name that occurs twice counts as it is said last.
            foreach (var constant in type.Constants.GroupBy(constant => constant.Name, StringComparer.Ordinal))
                json.WriteNumber(constant.Key, constant.Last().Value);
            json.WriteEndObject();
            json.WriteNumber("size", type.Underlying.Size);
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void WriteTypes(Utf8JsonWriter json, ISymbolTables tables)
    {
        json.WriteStartObject("user_types");
        foreach (var type in tables.Types.OrderBy(type => type.Name, StringComparer.Ordinal))
        {
            json.WriteStartObject(type.Name);
            json.WriteStartObject("fields");
            var written = new HashSet<string>(StringComparer.Ordinal);
            for (var i = 0; i < type.Fields.Count; i++)
                WriteField(json, type, i, written);
            json.WriteEndObject();
            json.WriteString("kind", type.Kind switch { TypeKind.Union => "union", TypeKind.Class => "class", _ => "struct" });
            json.WriteNumber("size", type.Size);
            json.WriteEndObject();
            if (json.BytesPending > FlushAt)
                json.Flush();
        }
        json.WriteEndObject();
    }

    private static void WriteField(Utf8JsonWriter json, TypeLayout type, int index, HashSet<string> written)
    {
        var field = type.Fields[index];
        // JSON needs a name for what has none; the schema's mark tells that it was made up.
        var name = field.IsBase ? $"__base_{field.Type.Name}" : field.Name.Length == 0 ? string.Create(CultureInfo.InvariantCulture, $"__anonymous_member_{index}") : field.Name;
        if (!field.IsTransparent && type.Find(name) is { } last && !ReferenceEquals(last, field))
            return;
        if (!written.Add(name))
            return;
        json.WriteStartObject(name);
        if (field.IsTransparent)
            json.WriteBoolean("anonymous", true);
        json.WriteNumber("offset", field.Offset);
        json.WriteStartObject("type");
        if (field.IsBitField)
        {
            json.WriteNumber("bit_length", field.BitLength);
            json.WriteNumber("bit_position", field.BitPosition);
            json.WriteString("kind", "bitfield");
            json.WriteStartObject("type");
            WriteType(json, field.Type);
            json.WriteEndObject();
        }
        else
            WriteType(json, field.Type);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteType(Utf8JsonWriter json, TypeReference type)
    {
        if (type.Kind == TypeKind.Array)
            json.WriteNumber("count", type.Count);
        json.WriteString("kind", type.Kind switch
        {
            TypeKind.Pointer => "pointer", TypeKind.Array => "array", TypeKind.Function => "function", TypeKind.Base => "base", TypeKind.Enum => "enum", TypeKind.Union => "union",
            TypeKind.Class => "class", _ => "struct",
        });
        if (type.Name.Length > 0)
            json.WriteString("name", type.Name);
        if (type.Kind is not (TypeKind.Pointer or TypeKind.Array))
            return;
        json.WriteStartObject("subtype");
        WriteType(json, type.Element ?? TypeReference.Unknown);
        json.WriteEndObject();
    }

    private static void WriteSymbols(Utf8JsonWriter json, ISymbolTables tables)
    {
        // Volatility looks symbols up without the underscore that C names get on x86, and its own converter takes it away everywhere; the linked name stands beside it.
        var symbols = new SortedDictionary<string, (uint Rva, string Linked)>(StringComparer.Ordinal);
        foreach (var (linked, rva) in tables.Symbols)
        {
            // A name that is linked so goes before one that only becomes so; of those, the last in the file counts.
            var name = Plain(linked);
            if (name == linked || !symbols.TryGetValue(name, out var known) || known.Linked != name)
                symbols[name] = (rva, linked);
        }
        json.WriteStartObject("symbols");
        foreach (var (name, symbol) in symbols)
        {
            json.WriteStartObject(name);
            json.WriteNumber("address", symbol.Rva);
            if (symbol.Linked != name)
                json.WriteString("linkage_name", symbol.Linked);
            json.WriteEndObject();
            if (json.BytesPending > FlushAt)
                json.Flush();
        }
        json.WriteEndObject();
    }

    /// <summary>A name without its first '_', '@' or DEL, and without "@N" behind it; where one '@' is followed by anything else, as it was linked.</summary>
    private static string Plain(string linked)
    {
        var name = linked.Length > 1 && linked[0] is '_' or '@' or '\u007F' ? linked[1..] : linked;
        var at = name.IndexOf('@', StringComparison.Ordinal);
        if (at < 0 || name.LastIndexOf('@') != at)
            return name;
        return at > 0 && at + 1 < name.Length && name[0] != '?' && name.AsSpan(at + 1).IndexOfAnyExceptInRange('0', '9') < 0 ? name[..at] : linked;
    }
}
