namespace Forengate.Memory;

/// <summary>
/// The framing of QEMU's migration stream, version 3 (QEMU, migration/savevm.c, migration/ram.c and docs/devel/migration; the same from 2.4 to 10). All integers are big-endian.
/// </summary>
internal static class MigrationLayout
{
    /// <summary>be32 "QEVM", be32 version.</summary>
    public const uint Magic = 0x5145_564D;
    public const uint Version = 3;
    public const int HeaderSize = 8;

    // The byte that each section begins with.
    public const byte EndOfFile = 0x00;
    public const byte SectionStart = 0x01;
    public const byte SectionPart = 0x02;
    public const byte SectionEnd = 0x03;
    public const byte SectionFull = 0x04;
    public const byte Subsection = 0x05;
    public const byte Description = 0x06;
    public const byte Configuration = 0x07;
    public const byte Command = 0x08;
    public const byte Footer = 0x7E;

    /// <summary>Footer byte and be32 section id.</summary>
    public const int FooterSize = 5;

    /// <summary>Section byte, be32 id; of a part or an end.</summary>
    public const int PartHeaderSize = 5;

    /// <summary>Section byte, be32 id, name of at most 255 bytes with its length before, be32 instance, be32 version; of a start or a full section.</summary>
    public const int MostFullHeaderSize = 5 + 1 + 255 + 8;

    /// <summary>Subsection byte, name with its length before, be32 version.</summary>
    public const int MostSubsectionHeaderSize = 1 + 1 + 255 + 4;

    /// <summary>Name of the section that carries RAM, and the only version of it since QEMU 0.15.</summary>
    public static ReadOnlySpan<byte> RamName => "ram"u8;
    public const uint RamVersion = 4;

    /// <summary>TARGET_PAGE_BITS of x86. What lies below in a page's word are flags.</summary>
    public const int PageBits = 12;
    public const ulong FlagsMask = (1UL << PageBits) - 1;

    // Flags of a RAM record.
    public const ulong FlagZero = 0x02;
    public const ulong FlagMemorySize = 0x04;
    public const ulong FlagPage = 0x08;
    public const ulong FlagEndOfSection = 0x10;
    public const ulong FlagContinue = 0x20;
    public const ulong FlagXbzrle = 0x40;
    public const ulong FlagHook = 0x80;
    public const ulong FlagCompressed = 0x100;
    public const ulong FlagMultifdFlush = 0x200;

    /// <summary>The byte before an XBZRLE delta, and the be16 length behind it.</summary>
    public const byte XbzrleEncoding = 0x01;
    public const int XbzrleHeaderSize = 3;

    /// <summary>be32 length before a compressed page; zlib's bound for a page is a little over 4 KiB (compressBound).</summary>
    public const int CompressedHeaderSize = 4;
    public const int MostCompressedSize = 8192;

    /// <summary>be32 version, be64 page size, be64 offset of the bitmap, be64 offset of the pages: of each block with the capability mapped-ram (QEMU 9.0).</summary>
    public const int MappedRamHeaderSize = 28;
    public const uint MappedRamVersion = 1;

    public const string CapabilityIgnoreShared = "x-ignore-shared";
    public const string CapabilityMappedRam = "mapped-ram";

    /// <summary>MIG_CMD_PACKAGED: its data is a be32 length; the sections it counts follow.</summary>
    public const ushort CommandPackaged = 7;
}
