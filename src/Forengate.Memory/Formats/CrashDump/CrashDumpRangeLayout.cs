namespace Forengate.Memory;

/// <summary>
/// What lies behind the header of a range dump (types 8, 9 and 0xA, which debuggers write with <c>.dump /k</c>, <c>/ka</c> and <c>/f</c>): a descriptor with the ranges of page frames
/// whose pages follow it one after the other. The pages begin right behind the descriptor, on no page boundary. Offsets in bytes from the end of the dump's header.
/// </summary>
/// <remarks>Source: files written by dbgeng 10.0.29507, its <c>.dumpdebug</c>, kdmp-parser.</remarks>
public static class CrashDumpRangeLayout
{
    /// <summary><c>'RDMP'</c>, at <see cref="Signature"/>; 0x40 lies before it.</summary>
    public const uint SignatureValue = 0x504D4452;

    public const int Signature = 0x04;

    /// <summary><c>'DUMP'</c>.</summary>
    public const int ValidDump = 0x08;

    /// <summary>64 bits: bytes from <see cref="RangeCount"/> to the first page.</summary>
    public const int DescriptorSize = 0x10;

    /// <summary>64 bits: offset of the first page in the file.</summary>
    public const int FirstPage = 0x18;

    /// <summary>64 bits.</summary>
    public const int RangeCount = 0x20;

    /// <summary>64 bits: pages in all ranges.</summary>
    public const int Pages = 0x28;

    /// <summary>Each 64 bits of page frame number and 64 bits of page count.</summary>
    public const int Ranges = 0x30;
    public const int RangeSize = 0x10;
}
