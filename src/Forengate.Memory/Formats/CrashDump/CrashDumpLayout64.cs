namespace Forengate.Memory;

/// <summary>
/// Offsets in <c>DUMP_HEADER64</c>, the 8 KiB header of a 64-bit crash dump, in bytes; all fields little-endian. Source: the structure in the Windows SDK's
/// <c>mindumpdef.h</c>, with C's alignment; confirmed on the real headers that the tests read (docs/formats/crash-dump.md).
/// </summary>
public static class CrashDumpLayout64
{
    /// <summary>sizeof(DUMP_HEADER64) rounded to pages: where the pages of a complete dump begin.</summary>
    public const int HeaderSize = 0x2000;

    /// <summary><c>'PAGE'</c>, DUMP_SIGNATURE64; also the letters that Windows fills the header with before it sets fields.</summary>
    public const uint SignatureValue = 0x45474150;

    /// <summary><c>'DU64'</c>, DUMP_VALID_DUMP64.</summary>
    public const uint ValidDumpValue = 0x34365544;

    /// <summary>Runs that fit PhysicalMemoryBlock: (700 - 16) / 16.</summary>
    public const int MaxRuns = (PhysicalMemoryBlockSize - 16) / RunSize;

    public const int Signature = 0x000;
    public const int ValidDump = 0x004;
    public const int MajorVersion = 0x008;
    public const int MinorVersion = 0x00C;
    public const int DirectoryTableBase = 0x010;
    public const int PfnDataBase = 0x018;
    public const int PsLoadedModuleList = 0x020;
    public const int PsActiveProcessHead = 0x028;
    public const int MachineImageType = 0x030;
    public const int NumberProcessors = 0x034;
    public const int BugCheckCode = 0x038;
    /// <summary>Alignment: Windows leaves filler here.</summary>
    public const int BugCheckPadding = 0x03C;
    public const int BugCheckParameter1 = 0x040;
    public const int BugCheckParameter2 = 0x048;
    public const int BugCheckParameter3 = 0x050;
    public const int BugCheckParameter4 = 0x058;
    public const int VersionUser = 0x060;
    public const int VersionUserSize = 32;
    public const int KdDebuggerDataBlock = 0x080;

    /// <summary>PHYSICAL_MEMORY_DESCRIPTOR64 in a buffer of its own size.</summary>
    public const int PhysicalMemoryBlock = 0x088;
    public const int PhysicalMemoryBlockSize = 700;
    public const int NumberOfRuns = PhysicalMemoryBlock;
    /// <summary>Alignment: Windows leaves filler here.</summary>
    public const int NumberOfRunsPadding = PhysicalMemoryBlock + 0x04;
    public const int NumberOfPages = PhysicalMemoryBlock + 0x08;
    /// <summary>PHYSICAL_MEMORY_RUN64: BasePage, PageCount.</summary>
    public const int FirstRun = PhysicalMemoryBlock + 0x10;
    public const int RunSize = 16;

    /// <summary>A CONTEXT of the dump's machine in a buffer of 3,000 bytes (after 4 of alignment behind the memory block).</summary>
    public const int ContextRecord = 0x348;
    public const int ContextRecordSize = 3000;

    /// <summary>EXCEPTION_RECORD64.</summary>
    public const int Exception = 0xF00;
    public const int ExceptionSize = 0x98;
    public const int ExceptionCode = Exception;
    public const int ExceptionFlags = Exception + 0x04;
    public const int ExceptionRecordLink = Exception + 0x08;
    public const int ExceptionAddress = Exception + 0x10;
    public const int ExceptionNumberParameters = Exception + 0x18;
    public const int ExceptionInformation = Exception + 0x20;

    public const int DumpType = 0xF98;
    /// <summary>Alignment: Windows leaves filler here.</summary>
    public const int DumpTypePadding = 0xF9C;
    public const int RequiredDumpSpace = 0xFA0;
    public const int SystemTime = 0xFA8;
    public const int Comment = 0xFB0;
    public const int CommentSize = 128;
    public const int SystemUpTime = 0x1030;
    public const int MiniDumpFields = 0x1038;
    public const int SecondaryDataState = 0x103C;
    public const int ProductType = 0x1040;
    public const int SuiteMask = 0x1044;
    public const int WriterStatus = 0x1048;
    public const int Unused1 = 0x104C;
    public const int KdSecondaryVersion = 0x104D;

    /// <summary>
    /// u8: levels of page tables, 4 or 5. A debugger needs it before it can read the debugger block, which says the same; it looks at it in headers whose MinorVersion is at least
    /// <see cref="PagingLevelsSince"/> and takes 4 elsewhere (seen in dbgeng 10.0.29507; filler is no number below 16 and is ignored).
    /// </summary>
    public const int PagingLevels = 0x104E;
    public const uint PagingLevelsSince = 19554;
    public const int Unused2 = 0x104F;
    public const int Attributes = 0x1050;
    public const int BootId = 0x1054;

    /// <summary>From here to the end: nothing that any reader is known to read.</summary>
    public const int Reserved = 0x1058;
}
