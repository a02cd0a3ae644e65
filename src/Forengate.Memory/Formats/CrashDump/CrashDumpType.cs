namespace Forengate.Memory;

/// <summary>
/// What a crash dump holds (header field DumpType). 0 to 7 are DUMP_TYPES of the Windows SDK's <c>mindumpdef.h</c>; 8 to 10 are written by current debuggers
/// (seen in dbgeng 10.0.29507 and in kdmp-parser).
/// </summary>
public enum CrashDumpType : uint
{
    Unknown = 0,

    /// <summary>"Complete": every page of every run, in order, behind the header.</summary>
    Full = 1,

    /// <summary>The kernel dump of Windows before 8: a summary of pages.</summary>
    Summary = 2,

    HeaderOnly = 3,

    /// <summary>"Small": header, structures picked by Windows, no pages.</summary>
    Triage = 4,

    /// <summary>Bitmap of pages over the whole address space; "active" when the header's Attributes has <see cref="CrashDumpAttributes.FilterDumpFile"/>.</summary>
    BitmapFull = 5,

    /// <summary>Bitmap of pages over the kernel's address space.</summary>
    BitmapKernel = 6,

    Automatic = 7,

    /// <summary>Ranges of pages of the kernel's address space, as debuggers write them (<c>.dump /k</c>).</summary>
    KernelMemory = 8,

    /// <summary>The same with user pages that are in use (<c>.dump /ka</c>).</summary>
    KernelAndUserMemory = 9,

    /// <summary>Ranges of all pages (<c>.dump /f</c>).</summary>
    CompleteMemory = 10,
}

/// <summary>Bits of the header field Attributes: DUMP_FILE_ATTRIBUTES of the Windows SDK's <c>mindumpdef.h</c>.</summary>
[Flags]
public enum CrashDumpAttributes : uint
{
    None = 0,
    HiberCrash = 1 << 0,
    DumpDevicePowerOff = 1 << 1,
    InsufficientDumpfileSize = 1 << 2,
    KernelGeneratedTriageDump = 1 << 3,
    LiveDumpGeneratedDump = 1 << 4,
    DumpIsGeneratedOffline = 1 << 5,
    FilterDumpFile = 1 << 6,
    EarlyBootCrash = 1 << 7,
    EncryptedDumpData = 1 << 8,
    DecryptedDump = 1 << 9,
}
