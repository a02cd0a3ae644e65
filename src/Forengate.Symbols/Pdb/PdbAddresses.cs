using System.Buffers.Binary;

namespace Forengate.Symbols;

/// <summary>Turns a symbol's section and offset into an RVA. Where the image was rearranged after it was linked (kernels up to Windows 7), through the OMAP.</summary>
internal sealed class PdbAddresses
{
    // IMAGE_SECTION_HEADER.
    private const int SectionHeaderLength = 40;
    private const int VirtualAddressOffset = 12;

    /// <summary>An OMAP entry: u32 RVA as linked, u32 RVA in the image; 0 is gone.</summary>
    private const int OmapEntryLength = 8;

    private readonly byte[] _sections;
    private readonly byte[] _omap;

    public PdbAddresses(byte[] sections, byte[] omap) => (_sections, _omap) = (sections, omap);

    public int SectionCount => _sections.Length / SectionHeaderLength;

    /// <summary>Null where there is no such section, or the linker's rearrangement dropped the place.</summary>
    public uint? RvaOf(ushort section, uint offset)
    {
        if (section == 0 || section > SectionCount)
            return null;
        var start = BinaryPrimitives.ReadUInt32LittleEndian(_sections.AsSpan(((section - 1) * SectionHeaderLength) + VirtualAddressOffset));
        var linked = unchecked(start + offset);
        return _omap.Length < OmapEntryLength ? linked : Rearranged(linked);
    }

    private uint? Rearranged(uint linked)
    {
        var (low, high) = (0, (_omap.Length / OmapEntryLength) - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if (From(middle) <= linked)
                low = middle + 1;
            else
                high = middle - 1;
        }
        if (high < 0)
            return null;
        var to = BinaryPrimitives.ReadUInt32LittleEndian(_omap.AsSpan((high * OmapEntryLength) + sizeof(uint)));
        return to == 0 ? null : unchecked(to + (linked - From(high)));
    }

    private uint From(int entry) => BinaryPrimitives.ReadUInt32LittleEndian(_omap.AsSpan(entry * OmapEntryLength));
}
