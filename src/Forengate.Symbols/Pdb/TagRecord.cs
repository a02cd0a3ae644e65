using System.Text;

namespace Forengate.Symbols;

/// <summary>A record that defines or announces a structure, class, union or enumeration.</summary>
internal readonly ref struct TagRecord
{
    // Properties (CV_prop_t).
    private const int ForwardReference = 1 << 7;
    private const int HasUniqueName = 1 << 9;

    private TagRecord(TypeKind kind, uint properties, uint fields, uint underlying, long size, ReadOnlySpan<byte> name, ReadOnlySpan<byte> unique)
    {
        (Kind, FieldList, Underlying, Size) = (kind, fields, underlying, size);
        IsForward = (properties & ForwardReference) != 0;
        Name = name;
        UniqueName = unique;
    }

    public TypeKind Kind { get; }

    /// <summary>It only says that there is such a type; its fields and size stand in another record.</summary>
    public bool IsForward { get; }

    public uint FieldList { get; }

    /// <summary>Of an enumeration, the type it is kept in.</summary>
    public uint Underlying { get; }

    public long Size { get; }

    public ReadOnlySpan<byte> Name { get; }

    /// <summary>Decorated name; empty where the record has none.</summary>
    public ReadOnlySpan<byte> UniqueName { get; }

    public static bool TryRead(ushort leaf, ReadOnlySpan<byte> body, out TagRecord tag)
    {
        var cursor = new ByteCursor(body);
        uint properties, fields, underlying = 0;
        long size = 0;
        TypeKind kind;
        switch (leaf)
        {
            case CodeViewLeaf.Class or CodeViewLeaf.Structure or CodeViewLeaf.Interface:
                kind = leaf == CodeViewLeaf.Structure ? TypeKind.Struct : TypeKind.Class;
                cursor.Skip(sizeof(ushort));
                properties = cursor.U16();
                fields = cursor.U32();
                // Derivation list and shape of the virtual table.
                cursor.Skip(2 * sizeof(uint));
                size = cursor.Numeric();
                break;
            case CodeViewLeaf.Class2 or CodeViewLeaf.Structure2:
                kind = leaf == CodeViewLeaf.Structure2 ? TypeKind.Struct : TypeKind.Class;
                properties = cursor.U32();
                fields = cursor.U32();
                cursor.Skip((2 * sizeof(uint)) + sizeof(ushort));
                size = cursor.Numeric();
                break;
            case CodeViewLeaf.Union:
                kind = TypeKind.Union;
                cursor.Skip(sizeof(ushort));
                properties = cursor.U16();
                fields = cursor.U32();
                size = cursor.Numeric();
                break;
            case CodeViewLeaf.Enum:
                kind = TypeKind.Enum;
                cursor.Skip(sizeof(ushort));
                properties = cursor.U16();
                underlying = cursor.U32();
                fields = cursor.U32();
                break;
            default:
                tag = default;
                return false;
        }
        var name = cursor.Text();
        var unique = (properties & HasUniqueName) != 0 && !cursor.Failed ? cursor.Text() : default;
        tag = new TagRecord(kind, properties, fields, underlying, Math.Max(size, 0), name, unique);
        // A unique name that is cut off costs nothing but itself.
        return !cursor.Failed || !name.IsEmpty;
    }

    /// <summary>The type's name; of one without, a name by its number, as Volatility 3 gives it.</summary>
    public string NameAt(uint index) =>
        IsAny(Name, "<unnamed-tag>"u8, "__unnamed"u8) ? $"__unnamed_{index:x}"
        : IsAny(Name, "<anonymous-tag>"u8, "__anonymous"u8) ? $"__anonymous_{index:x}"
        : Encoding.UTF8.GetString(Name);

    private static bool IsAny(ReadOnlySpan<byte> name, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second) => name.SequenceEqual(first) || name.SequenceEqual(second);
}
