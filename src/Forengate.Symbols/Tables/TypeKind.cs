namespace Forengate.Symbols;

/// <summary>What a type is.</summary>
public enum TypeKind
{
    /// <summary>A type of the language: <c>unsigned long</c>, <c>void</c>.</summary>
    Base,
    Pointer,
    Array,
    Struct,
    Class,
    Union,
    Enum,
    Function,
}
