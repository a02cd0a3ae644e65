namespace Forengate.Symbols;

/// <summary>What a field holds: a named type, or one made of others. Compared by value.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Name">Name of a base type, structure, union or enumeration; empty for the others.</param>
/// <param name="Size">Bytes; 0 for what has none (void, functions) or is nowhere defined.</param>
/// <param name="Count">Elements of an array; else 0.</param>
/// <param name="Element">What a pointer points to, an array consists of, an enumeration is kept in; else null.</param>
public sealed record TypeReference(TypeKind Kind, string Name, long Size, long Count = 0, TypeReference? Element = null)
{
    /// <summary>A type that cannot be said: its record is missing or damaged.</summary>
    public static TypeReference Unknown { get; } = new(TypeKind.Base, "?", 0);

    /// <summary>Has fields of its own.</summary>
    public bool IsComposite => Kind is TypeKind.Struct or TypeKind.Class or TypeKind.Union;

    /// <summary>As one would write it in C: <c>unsigned char[15]</c>, <c>_EPROCESS*</c>.</summary>
    public override string ToString() => Kind switch
    {
        TypeKind.Pointer => $"{Element}*",
        TypeKind.Array => $"{Element}[{Count}]",
        TypeKind.Function => "function",
        _ => Name,
    };
}
