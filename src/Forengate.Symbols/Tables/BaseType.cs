namespace Forengate.Symbols;

/// <summary>A type of the language, as Volatility 3 names it: its tables and ours shall say the same.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Form">What it holds in the words of ISF: void, int, float, char or bool.</param>
/// <param name="IsSigned">It has negative values.</param>
internal sealed record BaseType(string Name, int Size, string Form, bool IsSigned)
{
    /// <summary>By the low byte of a simple type index (cvinfo.h, TYPE_ENUM_e).</summary>
    private static readonly Dictionary<int, BaseType> BySimpleType = new()
    {
        [0x03] = new("void", 0, "void", true),
        [0x08] = new("HRESULT", 4, "int", false),
        [0x10] = new("char", 1, "char", true),
        [0x11] = new("short", 2, "int", true),
        [0x12] = new("long", 4, "int", true),
        [0x13] = new("long long", 8, "int", true),
        [0x14] = new("int128", 16, "int", true),
        [0x20] = new("unsigned char", 1, "char", false),
        [0x21] = new("unsigned short", 2, "int", false),
        [0x22] = new("unsigned long", 4, "int", false),
        [0x23] = new("unsigned long long", 8, "int", false),
        [0x24] = new("uint128", 16, "int", false),
        [0x30] = new("bool", 1, "bool", false),
        [0x31] = new("bool16", 2, "bool", false),
        [0x32] = new("bool32", 4, "bool", false),
        [0x33] = new("bool64", 8, "bool", false),
        [0x40] = new("f32", 4, "float", true),
        [0x41] = new("double", 8, "float", true),
        [0x42] = new("f80", 10, "float", true),
        [0x43] = new("f128", 16, "float", true),
        [0x44] = new("f48", 6, "float", true),
        [0x45] = new("f32pp", 4, "float", true),
        [0x46] = new("f16", 2, "float", true),
        [0x68] = new("int8", 1, "int", true),
        [0x69] = new("uint8", 1, "int", false),
        [0x70] = new("char", 1, "char", true),
        [0x71] = new("wchar", 2, "int", true),
        [0x72] = new("short", 2, "int", true),
        [0x73] = new("unsigned short", 2, "int", false),
        [0x74] = new("int", 4, "int", true),
        [0x75] = new("unsigned int", 4, "int", false),
        [0x76] = new("long long", 8, "int", true),
        [0x77] = new("unsigned long long", 8, "int", false),
        [0x78] = new("int128", 16, "int", true),
        [0x79] = new("uint128", 16, "int", false),
        [0x7A] = new("char16", 2, "int", false),
        [0x7B] = new("char32", 4, "int", false),
        [0x7C] = new("char8", 1, "char", false),
    };

    private static readonly Dictionary<string, BaseType> ByName = IndexNames();

    /// <summary>The type of a simple type index's low byte; null where it names none.</summary>
    public static BaseType? Of(int simple) => BySimpleType.GetValueOrDefault(simple);

    /// <summary>By its name; null where none is called so.</summary>
    public static BaseType? Of(string name) => ByName.GetValueOrDefault(name);

    public TypeReference Reference { get; } = new(TypeKind.Base, Name, Size);

    private static Dictionary<string, BaseType> IndexNames()
    {
        var names = new Dictionary<string, BaseType>(StringComparer.Ordinal);
        foreach (var type in BySimpleType.Values)
            names.TryAdd(type.Name, type);
        return names;
    }
}
