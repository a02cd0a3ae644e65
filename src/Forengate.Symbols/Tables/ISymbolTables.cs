namespace Forengate.Symbols;

/// <summary>Types and addresses of one image, wherever they were written down: a PDB, an ISF file.</summary>
public interface ISymbolTables
{
    /// <summary>For people: the file's path and what it is.</summary>
    string Name { get; }

    /// <summary>Which image they belong to.</summary>
    CodeViewRecord CodeView { get; }

    /// <summary>PE machine type of the image (0x8664, 0x14C, 0xAA64); 0 where it is not said.</summary>
    ushort Machine { get; }

    /// <summary>File version of the image; null where it is not said, as in every PDB.</summary>
    Version? Version { get; }

    /// <summary>Bytes of a pointer.</summary>
    int PointerSize { get; }

    /// <summary>A structure, class or union by name; null where there is none.</summary>
    TypeLayout? FindType(string name);

    /// <summary>Address of a symbol relative to the image's base; null where there is none of that name.</summary>
    uint? RvaOf(string name);

    /// <summary>All structures, classes and unions that are defined.</summary>
    IEnumerable<TypeLayout> Types { get; }

    /// <summary>All enumerations that are defined.</summary>
    IEnumerable<EnumLayout> Enums { get; }

    /// <summary>All symbols that have an address; where a name occurs twice, the last counts.</summary>
    IEnumerable<KeyValuePair<string, uint>> Symbols { get; }

    /// <summary>What of the file could not be read; empty where all of it could.</summary>
    IReadOnlyList<string> Damage { get; }
}
