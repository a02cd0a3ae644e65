namespace Forengate.Windows;

/// <summary>
/// Offsets of <c>KDDEBUGGER_DATA64</c>, in bytes. No public type table has the structure; it is declared in the Windows SDK's <c>wdbgexts.h</c>
/// and grows at its end from version to version, so a field beyond the block's own Size does not exist in that kernel.
/// </summary>
public enum DebuggerDataField
{
    /// <summary>Header (<c>DBGKD_DEBUG_DATA_HEADER64</c>): LIST_ENTRY64, then tag and size.</summary>
    ListFlink = 0x00,
    ListBlink = 0x08,
    OwnerTag = 0x10,
    Size = 0x14,

    KernBase = 0x18,
    BreakpointWithStatus = 0x20,
    SavedContext = 0x28,
    KiCallUserMode = 0x38,
    KeUserCallbackDispatcher = 0x40,
    PsLoadedModuleList = 0x48,
    PsActiveProcessHead = 0x50,
    PspCidTable = 0x58,
    KeTimeIncrement = 0x78,
    KeBugCheckCallbackListHead = 0x80,
    KiBugcheckData = 0x88,
    ObpRootDirectoryObject = 0x98,
    ObpTypeObjectType = 0xA0,
    MmPfnDatabase = 0xC0,
    MmLowestPhysicalPage = 0xE8,
    MmHighestPhysicalPage = 0xF0,
    MmNumberOfPhysicalPages = 0xF8,
    MmPageSize = 0x138,
    MmSystemRangeStart = 0x1D0,
    NtBuildLab = 0x208,
    KiProcessorBlock = 0x218,
    MmUnloadedDrivers = 0x220,
    MmLastUnloadedDriver = 0x228,
    CmNtCSDVersion = 0x268,
    MmPhysicalMemoryBlock = 0x270,

    // From here on 16-bit offsets of kernel structures.
    OffsetKThreadTeb = 0x29A,
    OffsetKThreadKernelStack = 0x29C,
    OffsetKThreadInitialStack = 0x29E,
    OffsetKThreadApcProcess = 0x2A0,
    OffsetKThreadState = 0x2A2,
    SizeEProcess = 0x2A8,
    OffsetEprocessPeb = 0x2AA,
    OffsetEprocessParentCid = 0x2AC,
    OffsetEprocessDirectoryTableBase = 0x2AE,
    SizePrcb = 0x2B0,
    OffsetPrcbDpcRoutine = 0x2B2,
    OffsetPrcbCurrentThread = 0x2B4,
    OffsetPrcbMhz = 0x2B6,
    OffsetPrcbCpuType = 0x2B8,
    OffsetPrcbVendorString = 0x2BA,
    OffsetPrcbProcStateContext = 0x2BC,
    OffsetPrcbNumber = 0x2BE,
    SizeEThread = 0x2C0,
    KdPrintCircularBufferPtr = 0x2C8,
    KdPrintBufferSize = 0x2D0,
    KeLoaderBlock = 0x2D8,
    SizePcr = 0x2E0,
    OffsetPcrSelfPcr = 0x2E2,
    OffsetPcrCurrentPrcb = 0x2E4,
    OffsetPcrContainedPrcb = 0x2E6,
    OffsetPrcbPcrPage = 0x2F0,
    OffsetPrcbProcStateSpecialReg = 0x2F2,
    GdtR0Code = 0x2F4,
    GdtR0Data = 0x2F6,
    GdtR0Pcr = 0x2F8,
    GdtR3Code = 0x2FA,
    GdtR3Data = 0x2FC,
    GdtR3Teb = 0x2FE,
    GdtLdt = 0x300,
    GdtTss = 0x302,
    Gdt64R3CmCode = 0x304,
    Gdt64R3CmTeb = 0x306,

    // Windows 7.
    EtwpDebuggerData = 0x330,
    OffsetPrcbContext = 0x338,

    // Windows 8.
    OffsetPrcbIdleThread = 0x350,

    // Windows 10, 1607.
    PteBase = 0x360,
}
