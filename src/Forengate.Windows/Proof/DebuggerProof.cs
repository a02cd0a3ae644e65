using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>KDBG is the kernel's own word on its globals and offsets: what the profile says must be the same.</summary>
internal static class DebuggerProof
{
    private static readonly (DebuggerDataField Field, KernelGlobal Global)[] s_globals =
    [
        (DebuggerDataField.PsLoadedModuleList, KernelGlobal.PsLoadedModuleList), (DebuggerDataField.PsActiveProcessHead, KernelGlobal.PsActiveProcessHead),
        (DebuggerDataField.PspCidTable, KernelGlobal.PspCidTable), (DebuggerDataField.KiBugcheckData, KernelGlobal.KiBugCheckData),
        (DebuggerDataField.KiProcessorBlock, KernelGlobal.KiProcessorBlock), (DebuggerDataField.MmPhysicalMemoryBlock, KernelGlobal.MmPhysicalMemoryBlock),
        (DebuggerDataField.MmPfnDatabase, KernelGlobal.MmPfnDatabase), (DebuggerDataField.NtBuildLab, KernelGlobal.NtBuildLab),
        (DebuggerDataField.ObpRootDirectoryObject, KernelGlobal.ObpRootDirectoryObject), (DebuggerDataField.ObpTypeObjectType, KernelGlobal.ObpTypeObjectType),
    ];

    private static readonly (DebuggerDataField Field, KernelStruct Type)[] s_sizes =
        [(DebuggerDataField.SizeEProcess, KernelStruct.EPROCESS), (DebuggerDataField.SizeEThread, KernelStruct.ETHREAD), (DebuggerDataField.SizePrcb, KernelStruct.KPRCB)];

    /// <summary>Fields of KDBG that are one offset of the profile, or the sum of two.</summary>
    private static readonly (DebuggerDataField Field, KernelField[] Sum)[] s_offsets =
    [
        (DebuggerDataField.OffsetEprocessPeb, [KernelField.EPROCESS_Peb]), (DebuggerDataField.OffsetEprocessParentCid, [KernelField.EPROCESS_InheritedFromUniqueProcessId]),
        (DebuggerDataField.OffsetEprocessDirectoryTableBase, [KernelField.KPROCESS_DirectoryTableBase]), (DebuggerDataField.OffsetPrcbNumber, [KernelField.KPRCB_Number]),
        (DebuggerDataField.OffsetPrcbCurrentThread, [KernelField.KPRCB_CurrentThread]), (DebuggerDataField.OffsetPrcbContext, [KernelField.KPRCB_Context]),
        (DebuggerDataField.OffsetPcrContainedPrcb, [KernelField.KPCR_Prcb]), (DebuggerDataField.OffsetPcrSelfPcr, [KernelField.KPCR_Self]),
        (DebuggerDataField.OffsetKThreadApcProcess, [KernelField.KTHREAD_ApcState, KernelField.KAPC_STATE_Process]),
        (DebuggerDataField.OffsetPrcbProcStateContext, [KernelField.KPRCB_ProcessorState, KernelField.KPROCESSOR_STATE_ContextFrame]),
        (DebuggerDataField.OffsetPrcbProcStateSpecialReg, [KernelField.KPRCB_ProcessorState, KernelField.KPROCESSOR_STATE_SpecialRegisters]),
    ];

    public static void Run(WindowsSystem system, ProofSheet sheet)
    {
        var kdbg = system.Kdbg;
        sheet.Check("KDBG is where the profile says, and decodes", system.AddressOf(KernelGlobal.KdDebuggerDataBlock) is null ? null : kdbg is not null, kdbg?.How ?? "no block there that fits");
        sheet.Equal("KDBG has the kernel's base", kdbg?.KernBase.Value, system.Image.Base.Value, "the image");
        foreach (var (field, global) in s_globals)
            sheet.Equal($"KDBG names {global}", system.AddressOf(global)?.Value, NotZero(kdbg?.Qword(field)), "KDBG");
        foreach (var (field, type) in s_sizes)
            sheet.Equal($"KDBG has the size of {KernelSchema.Structs[(int)type]}", (ulong?)system.Profile.SizeOf(type), NotZero(kdbg?.Word(field)), "KDBG");
        foreach (var (field, sum) in s_offsets)
        {
            ulong? ours = 0;
            foreach (var part in sum)
                ours += (ulong?)system.Profile.OffsetOf(part);
            sheet.Equal($"KDBG has {string.Join(" + ", sum.Select(KernelSchema.NameOf))}", ours, NotZero(kdbg?.Word(field)), "KDBG", essential: sum[0] is KernelField.KPROCESS_DirectoryTableBase);
        }
    }

    /// <summary>Where a block says zero it does not say.</summary>
    private static ulong? NotZero(ulong? value) => value == 0 ? null : value;
}
