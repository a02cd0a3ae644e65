namespace Forengate.Symbols;

/// <summary>The data directories of an image: the IMAGE_DIRECTORY_ENTRY numbers of the PE specification.</summary>
public enum PeDirectory
{
    Export = 0,
    Import = 1,
    Resource = 2,
    Exception = 3,
    Security = 4,
    BaseRelocation = 5,
    Debug = 6,
    Tls = 9,
    LoadConfiguration = 10,
    ImportAddresses = 12,
}

/// <summary>Where a data directory lies.</summary>
/// <param name="Rva">RVA; 0 where there is none.</param>
/// <param name="Size">Bytes.</param>
public readonly record struct PeDirectoryPlace(uint Rva, uint Size)
{
    public bool IsEmpty => Rva == 0 || Size == 0;
}
