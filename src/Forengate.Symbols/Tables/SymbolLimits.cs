namespace Forengate.Symbols;

/// <summary>
/// What a symbol file may ask of its reader. A kernel's PDB has some 10 MiB, 10,000 type records, 40,000 symbols and an ISF file of 6 to 10 MiB; the limits leave room for the largest
/// PDBs that are built, and none for a file that means harm.
/// </summary>
public sealed record SymbolLimits
{
    public static SymbolLimits Default { get; } = new();

    /// <summary>Streams a PDB may have: its format counts them in 16 bits.</summary>
    public int MaxStreams { get; init; } = 1 << 16;

    /// <summary>Bytes of a stream that is read.</summary>
    public int MaxStreamLength { get; init; } = 1 << 30;

    /// <summary>Type records of a PDB.</summary>
    public int MaxTypeRecords { get; init; } = 1 << 24;

    /// <summary>Fields of one type, and constants of one enumeration.</summary>
    public int MaxMembers { get; init; } = 1 << 20;

    /// <summary>How deep pointers, arrays and modifiers may be stacked in one type.</summary>
    public int MaxDepth { get; init; } = 48;

    /// <summary>Bytes of an ISF file, unpacked.</summary>
    public long MaxJsonLength { get; init; } = 128L << 20;

    /// <summary>Bytes of one name or number in an ISF file.</summary>
    public int MaxJsonToken { get; init; } = 1 << 20;

    /// <summary>Types, fields, constants and symbols of an ISF file together: a kernel's has some 100,000, and packed a file of a few KiB could name millions.</summary>
    public int MaxJsonEntries { get; init; } = 1 << 20;

    /// <summary>Files that are looked at in a folder of symbols.</summary>
    public int MaxFiles { get; init; } = 20_000;

    /// <summary>Folders below a folder of symbols that are gone into: a symbol store has two (name, key), and one more for its own.</summary>
    public int MaxFolderDepth { get; init; } = 4;
}
