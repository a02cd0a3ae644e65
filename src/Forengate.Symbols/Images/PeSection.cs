namespace Forengate.Symbols;

/// <summary>One section of an image. Nothing here was checked against the image's size: readers bound what they read.</summary>
/// <param name="Name">Up to eight characters; bytes that are no printable ASCII appear as '?'.</param>
/// <param name="VirtualAddress">RVA of its first byte.</param>
/// <param name="VirtualSize">Bytes when loaded.</param>
/// <param name="RawOffset">Where its bytes are in the file.</param>
/// <param name="RawSize">How many of them the file has.</param>
/// <param name="Characteristics">IMAGE_SCN flags.</param>
public readonly record struct PeSection(string Name, uint VirtualAddress, uint VirtualSize, uint RawOffset, uint RawSize, uint Characteristics)
{
    /// <summary>IMAGE_SCN_MEM_DISCARDABLE: its pages may be gone once the image is initialised.</summary>
    public bool IsDiscardable => (Characteristics & 0x0200_0000) != 0;

    public bool IsExecutable => (Characteristics & 0x2000_0000) != 0;

    public bool IsWritable => (Characteristics & 0x8000_0000) != 0;
}
