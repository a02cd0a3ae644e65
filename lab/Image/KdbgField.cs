namespace Forengate.Lab.Image;

/// <summary>
/// KDDEBUGGER_DATA64, field by field. No type table has it; source: wdbgexts.h of the Windows SDK 10.0.22000 (debuggers' header), whose order and comments ("Windows 7 addition" …) give
/// offsets and the sizes 0x340 (7601), 0x360 (9600), 0x368 (14393), 0x380 (17763 on). The distance to the symbol behind KdDebuggerDataBlock in the type tables agrees with each size.
/// </summary>
/// <param name="Width">Bytes: 8 for addresses and values, 4 and 2 for offsets.</param>
internal sealed record KdbgField(int Offset, int Width, string Name)
{
    /// <summary>Fields that hold the address of the global of the same name.</summary>
    public static IReadOnlyList<KdbgField> Globals { get; } = Sequence(0x48,
        "PsLoadedModuleList", "PsActiveProcessHead", "PspCidTable", "ExpSystemResourcesList", "ExpPagedPoolDescriptor", "ExpNumberOfPagedPools", "KeTimeIncrement",
        "KeBugCheckCallbackListHead", "KiBugCheckData", "IopErrorLogListHead", "ObpRootDirectoryObject", "ObpTypeObjectType", "MmSystemCacheStart", "MmSystemCacheEnd", "MmSystemCacheWs",
        "MmPfnDatabase", "MmSystemPtesStart", "MmSystemPtesEnd", "MmSubsectionBase", "MmNumberOfPagingFiles", "MmLowestPhysicalPage", "MmHighestPhysicalPage", "MmNumberOfPhysicalPages",
        "MmMaximumNonPagedPoolInBytes", "MmNonPagedSystemStart", "MmNonPagedPoolStart", "MmNonPagedPoolEnd", "MmPagedPoolStart", "MmPagedPoolEnd", "MmPagedPoolInfo")
        .Concat(Sequence(0x140,
        "MmSizeOfPagedPoolInBytes", "MmTotalCommitLimit", "MmTotalCommittedPages", "MmSharedCommit", "MmDriverCommit", "MmProcessCommit", "MmPagedPoolCommit", "MmExtendedCommit",
        "MmZeroedPageListHead", "MmFreePageListHead", "MmStandbyPageListHead", "MmModifiedPageListHead", "MmModifiedNoWritePageListHead", "MmAvailablePages", "MmResidentAvailablePages",
        "PoolTrackTable", "NonPagedPoolDescriptor", "MmHighestUserAddress", "MmSystemRangeStart", "MmUserProbeAddress", "KdPrintDefaultCircularBuffer", "KdPrintDefaultCircularBufferEnd",
        "KdPrintWritePointer", "KdPrintRolloverCount", "MmLoadedUserImageList", "NtBuildLab", "KiNormalSystemCall", "KiProcessorBlock", "MmUnloadedDrivers", "MmLastUnloadedDriver",
        "MmTriageActionTaken", "MmSpecialPoolTag", "KernelVerifier", "MmVerifierData", "MmAllocatedNonPagedPool", "MmPeakCommitment", "MmTotalCommitLimitMaximum", "CmNtCSDVersion",
        "MmPhysicalMemoryBlock", "MmSessionBase", "MmSessionSize", "MmSystemParentTablePage"))
        .Concat(Sequence(0x2C8, "KdPrintCircularBuffer", "KdPrintBufferSize", "KeLoaderBlock"))
        .Concat(Sequence(0x308, "IopNumTriageDumpDataBlocks", "IopTriageDumpDataBlocks", "VfCrashDataBlock", "MmBadPagesDetected", "MmZeroedPageSingleBitErrorsDetected", "EtwpDebuggerData"))
        .ToArray();

    /// <summary>Fields that hold the address of code: they come before the globals.</summary>
    public static IReadOnlyList<KdbgField> Code { get; } =
    [
        new(0x20, 8, "RtlpBreakWithStatusInstruction"), new(0x38, 8, "KiCallUserMode"), new(0x40, 8, "KeUserCallbackDispatcher"),
    ];

    /// <summary>Offsets of structure fields, by type and path; a build without the field keeps 0.</summary>
    public static IReadOnlyList<(int Offset, int Width, string Type, string Path)> Layout { get; } =
    [
        (0x30, 2, "_KTHREAD", "CallbackStack"), (0x298, 2, "_KTHREAD", "NextProcessor"), (0x29A, 2, "_KTHREAD", "Teb"), (0x29C, 2, "_KTHREAD", "KernelStack"), (0x29E, 2, "_KTHREAD", "InitialStack"),
        (0x2A0, 2, "_KTHREAD", "ApcState.Process"), (0x2A2, 2, "_KTHREAD", "State"), (0x2AA, 2, "_EPROCESS", "Peb"), (0x2AC, 2, "_EPROCESS", "InheritedFromUniqueProcessId"),
        (0x2AE, 2, "_EPROCESS", "Pcb.DirectoryTableBase"), (0x2B2, 2, "_KPRCB", "DpcRoutineActive"), (0x2B4, 2, "_KPRCB", "CurrentThread"), (0x2B6, 2, "_KPRCB", "MHz"),
        (0x2B8, 2, "_KPRCB", "CpuType"), (0x2BA, 2, "_KPRCB", "VendorString"), (0x2BC, 2, "_KPRCB", "ProcessorState.ContextFrame"), (0x2BE, 2, "_KPRCB", "Number"),
        (0x2E2, 2, "_KPCR", "Self"), (0x2E4, 2, "_KPCR", "CurrentPrcb"), (0x2E6, 2, "_KPCR", "Prcb"), (0x2F2, 2, "_KPRCB", "ProcessorState.SpecialRegisters"),
        (0x338, 2, "_KPRCB", "Context"),
        // Windows 8 and later.
        (0x340, 4, "_KTHREAD", "StackLimit"), (0x344, 4, "_KTHREAD", "StackBase"), (0x348, 4, "_KTHREAD", "QueueListEntry"), (0x34C, 4, "_ETHREAD", "IrpList"), (0x350, 2, "_KPRCB", "IdleThread"),
        (0x352, 2, "_KPRCB", "NormalDpcState"), (0x354, 2, "_KPRCB", "DpcStack"), (0x356, 2, "_KPRCB", "IsrStack"), (0x35A, 2, "_KPRIQUEUE", "ThreadListHead"), (0x35C, 2, "_KTHREAD", "WaitReason"),
        // Server 2022 and Windows 11.
        (0x37C, 2, "_EPROCESS", "MmHotPatchContext"),
    ];

    /// <summary>Sizes of structures.</summary>
    public static IReadOnlyList<(int Offset, string Type)> Sizes { get; } =
        [(0x2A8, "_EPROCESS"), (0x2B0, "_KPRCB"), (0x2C0, "_ETHREAD"), (0x2E0, "_KPCR"), (0x358, "_KDPC_STACK_FRAME")];

    /// <summary>Selectors, the same on all 64-bit Windows.</summary>
    public static IReadOnlyList<(int Offset, ushort Value)> Selectors { get; } =
        [(0x2F4, 0x10), (0x2F6, 0x18), (0x2F8, 0x18), (0x2FA, 0x33), (0x2FC, 0x2B), (0x2FE, 0x2B), (0x300, 0), (0x302, 0x40), (0x304, 0x23), (0x306, 0x53)];

    private static IEnumerable<KdbgField> Sequence(int offset, params string[] names) => names.Select((name, i) => new KdbgField(offset + i * 8, 8, name));
}
