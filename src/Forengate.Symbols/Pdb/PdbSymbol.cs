namespace Forengate.Symbols;

/// <summary>What a symbol record says.</summary>
public enum PdbSymbolKind
{
    /// <summary>S_PUB32: a name of the linker's, with an address.</summary>
    Public,
    /// <summary>S_GDATA32, S_LDATA32: a variable with its type.</summary>
    Data,
    /// <summary>S_CONSTANT: a named number.</summary>
    Constant,
    /// <summary>S_UDT: a name for a type.</summary>
    TypeName,
}

/// <summary>A symbol of a PDB.</summary>
/// <param name="Kind">Of what sort.</param>
/// <param name="Name">As it is linked: C++ names are decorated.</param>
/// <param name="Rva">Address relative to the image's base; null for what has none.</param>
/// <param name="Type">Number of its type; 0 for publics.</param>
/// <param name="Value">Of a constant.</param>
public readonly record struct PdbSymbol(PdbSymbolKind Kind, string Name, uint? Rva, uint Type, long Value);
