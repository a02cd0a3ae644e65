namespace Forengate.Lab.Image;

/// <summary>A section of a mapped image: page-aligned RVA and size.</summary>
internal sealed record PeSection(string Name, uint Rva, uint Size, uint Characteristics)
{
    // PE/COFF specification, "Section Flags".
    public const uint Code = 0x6000_0020;
    public const uint ReadOnlyData = 0x4000_0040;
    public const uint Data = 0xC000_0040;
    public const uint NotPaged = 0x0800_0000;
    public const uint Discardable = 0x0200_0000;

    public uint End => Rva + Size;
    public bool IsCode => (Characteristics & 0x2000_0000) != 0;
    public bool IsWritable => (Characteristics & 0x8000_0000) != 0;
    public bool IsDiscardable => (Characteristics & Discardable) != 0;

    public ulong PteFlags => IsCode ? Pte.KernelCode : IsWritable ? Pte.KernelData : Pte.KernelReadOnly;
}
