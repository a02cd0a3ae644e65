namespace Forengate.Memory;

/// <summary>
/// What lies behind the header of a bitmap dump (types 5 and 6) and of an old kernel summary dump (2): counts, then a bit for each page frame from 0 on, then the pages whose bit
/// is set, in ascending order. Offsets in bytes from the end of the dump's header; all fields little-endian. But for a summary's bitmap, 32- and 64-bit dumps are alike.
/// </summary>
/// <remarks>
/// Sources: BITMAP_DUMP and SUMMARY_DUMP32/64 as the debugger engine's <c>.dumpdebug</c> prints their fields, kdmp-parser and Rekall for the places; the engine reads the right page
/// of what is laid out so, and none where the bitmap lies elsewhere (docs/formats/crash-dump.md).
/// </remarks>
public static class CrashDumpBitmapLayout
{
    /// <summary><c>'SDMP'</c>, a summary: some of the memory.</summary>
    public const uint SummarySignature = 0x504D4453;

    /// <summary><c>'FDMP'</c>: all of it.</summary>
    public const uint FullSignature = 0x504D4446;

    /// <summary><c>'DUMP'</c>.</summary>
    public const uint ValidDumpValue = 0x504D5544;

    public const int Signature = 0x00;
    public const int ValidDump = 0x04;

    /// <summary>Types 5 and 6: 64-bit offset of the first page in the file.</summary>
    public const int FirstPage = 0x20;

    /// <summary>Types 5 and 6: 64-bit number of pages stored.</summary>
    public const int Pages = 0x28;

    /// <summary>Types 5 and 6: 64-bit number of bits in the bitmap.</summary>
    public const int BitmapBits = 0x30;

    /// <summary>Types 5 and 6: the bitmap.</summary>
    public const int Bitmap = 0x38;

    /// <summary>Type 2: 32-bit offset of the first page in the file.</summary>
    public const int SummaryFirstPage = 0x0C;

    /// <summary>Type 2: 32-bit number of bits in the bitmap.</summary>
    public const int SummaryBitmapBits = 0x10;

    /// <summary>Type 2: 32-bit number of pages stored.</summary>
    public const int SummaryPages = 0x14;

    /// <summary>Type 2: the number of bits once more, as RTL_BITMAP has it, whose pointer to the bits follows: stored without meaning, but as wide as the system's pointers are.</summary>
    public const int SummaryBitmapSize = 0x18;

    /// <summary>Type 2, 32-bit: the bitmap.</summary>
    public const int SummaryBitmap32 = 0x20;

    /// <summary>Type 2, 64-bit: the bitmap.</summary>
    public const int SummaryBitmap64 = 0x28;
}
