namespace Forengate.Memory;

/// <summary>
/// Offsets in <c>DUMP_HEADER32</c>, the 4 KiB header of a 32-bit crash dump, in bytes; all fields little-endian. Source: the Windows SDK's <c>mindumpdef.h</c>;
/// confirmed on the real header that the tests read.
/// </summary>
public static class CrashDumpLayout32
{
    public const int HeaderSize = 0x1000;

    /// <summary><c>'DUMP'</c>, DUMP_VALID_DUMP32. The signature is the same as in 64-bit headers.</summary>
    public const uint ValidDumpValue = 0x504D5544;

    /// <summary>Runs that fit PhysicalMemoryBlock: (700 - 8) / 8.</summary>
    public const int MaxRuns = (PhysicalMemoryBlockSize - 8) / RunSize;

    public const int MajorVersion = 0x008;
    public const int MinorVersion = 0x00C;
    public const int DirectoryTableBase = 0x010;
    public const int PfnDataBase = 0x014;
    public const int PsLoadedModuleList = 0x018;
    public const int PsActiveProcessHead = 0x01C;
    public const int MachineImageType = 0x020;
    public const int NumberProcessors = 0x024;
    public const int BugCheckCode = 0x028;
    public const int BugCheckParameter1 = 0x02C;
    public const int VersionUser = 0x03C;
    public const int PaeEnabled = 0x05C;
    public const int KdSecondaryVersion = 0x05D;
    public const int KdDebuggerDataBlock = 0x060;
    public const int PhysicalMemoryBlock = 0x064;
    public const int PhysicalMemoryBlockSize = 700;
    public const int NumberOfRuns = PhysicalMemoryBlock;
    public const int NumberOfPages = PhysicalMemoryBlock + 0x04;
    /// <summary>PHYSICAL_MEMORY_RUN32: BasePage, PageCount.</summary>
    public const int FirstRun = PhysicalMemoryBlock + 0x08;
    public const int RunSize = 8;
    public const int ContextRecord = 0x320;
    public const int ContextRecordSize = 1200;
    /// <summary>EXCEPTION_RECORD32.</summary>
    public const int Exception = 0x7D0;
    public const int ExceptionAddress = Exception + 0x0C;
    public const int Comment = 0x820;
    public const int CommentSize = 128;
    public const int Attributes = 0x8A0;
    public const int BootId = 0x8A4;
    public const int DumpType = 0xF88;
    public const int MiniDumpFields = 0xF8C;
    public const int SecondaryDataState = 0xF90;
    public const int ProductType = 0xF94;
    public const int SuiteMask = 0xF98;
    public const int WriterStatus = 0xF9C;
    public const int RequiredDumpSpace = 0xFA0;
    public const int SystemUpTime = 0xFB8;
    public const int SystemTime = 0xFC0;
}
