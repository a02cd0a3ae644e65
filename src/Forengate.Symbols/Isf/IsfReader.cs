using System.Text.Json;

namespace Forengate.Symbols;

/// <summary>
/// Takes an ISF file apart as it comes by. Its parts may stand in any order, so sizes of what fields refer to are known at the end only: fields are kept with the names of their types,
/// and base types stand before user types in every file that Volatility writes.
/// </summary>
internal sealed class IsfReader(SymbolLimits limits, bool stopAtIdentity)
{
    private readonly Dictionary<string, TypeReference> _bases = new(StringComparer.Ordinal);
    private int _depth;
    private int _entries;

    public Dictionary<string, TypeLayout> Types { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, EnumLayout> Enums { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, uint> Symbols { get; } = new(StringComparer.Ordinal);

    public CodeViewRecord? CodeView { get; private set; }

    public ushort Machine { get; private set; }

    public Version? Version { get; private set; }

    public int PointerSize { get; private set; } = 8;

    public void Read(Stream stream)
    {
        var json = new JsonCursor(stream, limits);
        while (json.NextMember())
        {
            if (json.Is("metadata"u8))
            {
                ReadMetadata(ref json);
                if (stopAtIdentity)
                    return;
            }
            else if (stopAtIdentity)
                json.SkipNext();
            else if (json.Is("base_types"u8))
                ReadBases(ref json);
            else if (json.Is("enums"u8))
                ReadEnums(ref json);
            else if (json.Is("user_types"u8))
                ReadTypes(ref json);
            else if (json.Is("symbols"u8))
                ReadSymbols(ref json);
            else
                json.SkipNext();
        }
    }

    /// <summary>Counts what is kept, so that memory stays bounded whatever a file names.</summary>
    private string Keep(string name) =>
        ++_entries <= limits.MaxJsonEntries ? name : throw new SymbolFormatException($"it names more than {limits.MaxJsonEntries} types, fields and symbols");

    private void ReadMetadata(ref JsonCursor json)
    {
        while (json.NextMember())
        {
            if (!json.Is("windows"u8))
            {
                json.SkipNext();
                continue;
            }
            while (json.NextMember())
            {
                if (json.Is("pdb"u8))
                    ReadPdb(ref json);
                else if (json.Is("pe"u8))
                    ReadVersion(ref json);
                else
                    json.SkipNext();
            }
        }
    }

    private void ReadPdb(ref JsonCursor json)
    {
        var (name, key, age) = ("", "", 0L);
        while (json.NextMember())
        {
            if (json.Is("GUID"u8))
                key = json.NextText();
            else if (json.Is("age"u8))
                age = json.NextNumber();
            else if (json.Is("database"u8))
                name = json.NextText();
            else if (json.Is("machine_type"u8))
                Machine = (ushort)json.NextNumber();
            else
                json.SkipNext();
        }
        if (Guid.TryParseExact(key, "N", out var guid) && age is >= 0 and <= uint.MaxValue)
            CodeView = new CodeViewRecord(name[(name.LastIndexOfAny(['\\', '/']) + 1)..], guid, (uint)age);
    }

    private void ReadVersion(ref JsonCursor json)
    {
        var (major, minor, build, revision) = (0L, 0L, 0L, 0L);
        while (json.NextMember())
        {
            if (json.Is("major"u8))
                major = json.NextNumber();
            else if (json.Is("minor"u8))
                minor = json.NextNumber();
            else if (json.Is("build"u8))
                build = json.NextNumber();
            else if (json.Is("revision"u8))
                revision = json.NextNumber();
            else
                json.SkipNext();
        }
        if (major is >= 0 and <= ushort.MaxValue && minor is >= 0 and <= ushort.MaxValue && build is >= 0 and <= ushort.MaxValue && revision is >= 0 and <= ushort.MaxValue)
            Version = new Version((int)major, (int)minor, (int)build, (int)revision);
    }

    private void ReadBases(ref JsonCursor json)
    {
        while (json.NextMember())
        {
            var (name, size) = (Keep(json.Text()), 0L);
            while (json.NextMember())
            {
                if (json.Is("size"u8))
                    size = json.NextNumber();
                else
                    json.SkipNext();
            }
            size = Math.Clamp(size, 0, byte.MaxValue);
            _bases[name] = new TypeReference(TypeKind.Base, name, size);
            if (name == "pointer" && size is 4 or 8)
                PointerSize = (int)size;
        }
    }

    private void ReadEnums(ref JsonCursor json)
    {
        while (json.NextMember())
        {
            var (name, size, kept, constants) = (Keep(json.Text()), 0L, "", new List<EnumConstant>());
            while (json.NextMember())
            {
                if (json.Is("size"u8))
                    size = json.NextNumber();
                else if (json.Is("base"u8))
                    kept = json.NextText();
                else if (json.Is("constants"u8))
                {
                    while (json.NextMember())
                        constants.Add(new EnumConstant(Keep(json.Text()), json.NextNumber()));
                }
                else
                    json.SkipNext();
            }
            Enums[name] = new EnumLayout(name, new TypeReference(TypeKind.Base, kept, size), constants);
        }
    }

    private void ReadTypes(ref JsonCursor json)
    {
        while (json.NextMember())
        {
            var (name, size, kind, fields) = (Keep(json.Text()), 0L, TypeKind.Struct, new List<TypeField>());
            while (json.NextMember())
            {
                if (json.Is("size"u8))
                    size = json.NextNumber();
                else if (json.Is("kind"u8))
                    kind = KindOf(json.NextText());
                else if (json.Is("fields"u8))
                {
                    while (json.NextMember())
                        fields.Add(ReadField(ref json));
                }
                else
                    json.SkipNext();
            }
            Types[name] = new TypeLayout(name, kind, Math.Max(size, 0), fields);
        }
    }

    private TypeField ReadField(ref JsonCursor json)
    {
        var (name, offset, isAnonymous, type) = (Keep(json.Text()), 0L, false, new FieldType(TypeReference.Unknown, 0, 0));
        while (json.NextMember())
        {
            if (json.Is("offset"u8))
                offset = json.NextNumber();
            else if (json.Is("type"u8))
                type = ReadType(ref json);
            else if (json.Is("anonymous"u8))
            {
                json.Next();
                isAnonymous = json.Token == JsonTokenType.True;
            }
            else
                json.SkipNext();
        }
        return new TypeField(isAnonymous ? "" : name, offset, type.Type, type.BitPosition, type.BitLength);
    }

    private FieldType ReadType(ref JsonCursor json)
    {
        if (++_depth > limits.MaxDepth)
            throw new JsonException($"a type is nested deeper than {limits.MaxDepth} levels");
        var (kind, name, count, position, length, inner) = ("", "", 0L, 0L, 0L, TypeReference.Unknown);
        while (json.NextMember())
        {
            if (json.Is("kind"u8))
                kind = json.NextText();
            else if (json.Is("name"u8))
                name = json.NextText();
            else if (json.Is("count"u8))
                count = json.NextNumber();
            else if (json.Is("bit_position"u8))
                position = json.NextNumber();
            else if (json.Is("bit_length"u8))
                length = json.NextNumber();
            else if (json.Is("subtype"u8) || json.Is("type"u8))
                inner = ReadType(ref json).Type;
            else
                json.SkipNext();
        }
        _depth--;
        return kind == "bitfield"
            ? new FieldType(inner, (int)Math.Clamp(position, 0, byte.MaxValue), (int)Math.Clamp(length, 0, byte.MaxValue))
            : new FieldType(Make(kind, name, Math.Max(count, 0), inner), 0, 0);
    }

    private TypeReference Make(string kind, string name, long count, TypeReference inner) => kind switch
    {
        "pointer" => new TypeReference(TypeKind.Pointer, "", PointerSize, Element: inner),
        "array" => new TypeReference(TypeKind.Array, "", inner.Size > 0 && count < long.MaxValue / inner.Size ? inner.Size * count : 0, count, inner),
        "function" => new TypeReference(TypeKind.Function, "", 0),
        "base" => _bases.GetValueOrDefault(name) ?? BaseType.Of(name)?.Reference ?? new TypeReference(TypeKind.Base, name, 0),
        "enum" => new TypeReference(TypeKind.Enum, name, Enums.GetValueOrDefault(name)?.Underlying.Size ?? 0, Element: Enums.GetValueOrDefault(name)?.Underlying),
        // Its size is known once all types are read, and found there by its name.
        _ => new TypeReference(KindOf(kind), name, Types.GetValueOrDefault(name)?.Size ?? 0),
    };

    private void ReadSymbols(ref JsonCursor json)
    {
        while (json.NextMember())
        {
            var (name, address) = (Keep(json.Text()), -1L);
            while (json.NextMember())
            {
                if (json.Is("address"u8))
                    address = json.NextNumber();
                else
                    json.SkipNext();
            }
            if (address is >= 0 and <= uint.MaxValue)
                Symbols[name] = (uint)address;
        }
    }

    private static TypeKind KindOf(string kind) => kind switch { "union" => TypeKind.Union, "class" => TypeKind.Class, _ => TypeKind.Struct };

    private readonly record struct FieldType(TypeReference Type, int BitPosition, int BitLength);
}
