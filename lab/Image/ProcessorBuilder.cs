using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>Lays out each processor: KPCR with KPRCB, IDT, GDT, TSS, stacks, saved state; then says how its CPU starts.</summary>
internal sealed class ProcessorBuilder(ProcessParts parts, TwinOptions options)
{
    private const int ShadowPages = 5;
    private const int StackPages = 6;
    // Extended-feature, system-call and control values as Windows sets them (Intel SDM vol. 3A; ReactOS ntoskrnl/ke/amd64): EFER = SCE LME LMA NXE.
    private const ulong Efer = 0xD01;
    private const ulong Cr0 = 0x8005_0033;
    private const ulong Star = 0x0023_0010_0000_0000;
    private const ulong SystemCallMask = 0x4700;
    private readonly KernelTables _tables = parts.Tables;

    /// <summary>
    /// LA57 with five levels; DE PSE PAE MCE PGE OSFXSR OSXMMEXCPT; OSXSAVE from 8 on; PCIDE with KVA shadow on processors that have PCIDs (the lab's model); SMEP is left out because the twin's processor has none.
    /// </summary>
    private ulong Cr4 => 0x6F8UL | (_tables.Family >= 9200 ? 0x40000UL : 0) | (options.KvaShadow ? 0x20000UL : 0) | (options.Levels == 5 ? 0x1000UL : 0);

    public ProcessorBlock Reserve(int number)
    {
        var size = _tables.SizeOf("_KPCR");
        var kpcr = number == 0 && parts.Kernel.Has("KiInitialPCR") ? parts.Kernel.AddressOf("KiInitialPCR") : parts.Ptes.Allocate((size + 0xFFF) / 0x1000);
        var block = parts.Ptes.Allocate(ShadowPages);
        var prcb = kpcr + (ulong)_tables.OffsetOf("_KPCR", "Prcb");
        var state = prcb + (ulong)_tables.OffsetOf("_KPRCB", "ProcessorState");
        var frame = state + (ulong)_tables.OffsetOf("_KPROCESSOR_STATE", "ContextFrame");
        // Where the pointer leads is the kernel's affair: the twin has both kinds, chosen by build and processor.
        var elsewhere = _tables.Family >= 9200 && (number + _tables.Family / 100) % 2 == 1;
        var context = elsewhere ? parts.Pool.Allocate("KeCx", _tables.SizeOf("_CONTEXT") + 0x30) + 0xF & ~0xFUL : frame;
        var ist = new ulong[4];
        for (var i = 0; i < ist.Length; i++)
            ist[i] = options.KvaShadow ? block + 0x3200 + (ulong)(i + 1) * 0x200 : parts.Ptes.Allocate(1) + GuestRam.PageSize;
        return new ProcessorBlock
        {
            Number = number, Kpcr = kpcr, Prcb = prcb, ShadowBlock = block,
            // The order of a real one as a debugger shows it: idtr …0000, tr …1000, gdtr …2fb0.
            Idt = block, Tss = block + 0x1000, Gdt = block + 0x2FB0,
            TransitionStack = block + 0x3200, IstStacks = ist,
            DpcStack = Stack(), IsrStack = Stack(), Context = context, ContextFrame = frame, SpecialRegisters = state,
        };
    }

    /// <summary>Fills a processor in, once the thread it runs is known.</summary>
    public CpuStart Fill(ProcessorBlock at, TwinProcess process, TwinThread thread, TwinThread idle, GuestCodeImage code)
    {
        var mode = options.OutsideOf(at.Number) is null ? options.ModeOf(at.Number) : CpuMode.Kernel;
        var shadow = options.KvaShadow;
        var systemCall = parts.Kernel.AddressOf(shadow ? "KiSystemCall64Shadow" : "KiSystemCall64");
        var systemCall32 = parts.Kernel.AddressOf(shadow ? "KiSystemCall32Shadow" : "KiSystemCall32");
        var userView = mode != CpuMode.Kernel && shadow && process.UserDtb != 0;
        var start = new CpuStart
        {
            Index = at.Number, Mode = mode, Cr0 = Cr0, Cr3 = userView ? process.UserDtb : process.Dtb, Cr4 = Cr4, Efer = Efer,
            GdtBase = at.Gdt, GdtLimit = Descriptors.GdtLimit(_tables.Family), IdtBase = at.Idt, IdtLimit = Descriptors.IdtLimit, TrSelector = Descriptors.TaskState,
            GsBase = mode == CpuMode.Kernel ? at.Kpcr : thread.Teb, KernelGsBase = mode == CpuMode.Kernel ? thread.Teb : at.Kpcr,
            Star = Star, LStar = systemCall, CStar = systemCall32, SfMask = SystemCallMask,
            Rip = mode switch { CpuMode.Kernel => code.KernelModeStart, CpuMode.User => code.UserModeStart, _ => code.EntryModeStart },
            // At the system-call entry the stack pointer is still the user's.
            Rsp = mode == CpuMode.Kernel ? thread.InitialStack - 0x800 : (thread.Teb & ~0x1FFFFFUL) | 0xEFF58,
            Rflags = mode == CpuMode.User ? 0x246UL : 0x46,
            Cs = mode == CpuMode.User ? Descriptors.UserCode : Descriptors.KernelCode, Ss = mode == CpuMode.User ? Descriptors.UserData : Descriptors.KernelData,
            Ds = Descriptors.UserData, Es = Descriptors.UserData, Fs = Descriptors.CmTeb, Gs = Descriptors.UserData,
            R12 = 0x12C0DE00_00000000UL | (uint)at.Number, R13 = 0x13C0DE00_00000000UL | (uint)at.Number, R14 = 0x14C0DE00_00000000UL | (uint)at.Number, R15 = 0x15C0DE00_00000000UL | (uint)at.Number,
            Xmm6To9 = Xmm(at.Number), KernelStack = thread.InitialStack, KernelCr3 = process.Dtb,
        };
        Descriptors.WriteIdt(_tables, parts.System, parts.Kernel, at.Idt, shadow);
        parts.System.Write(at.Gdt, Descriptors.Gdt(_tables.Family, at.Tss));
        Descriptors.WriteTss(_tables, parts.System, at.Tss, shadow ? at.TransitionStack : thread.InitialStack, at.IstStacks);
        FillKpcr(at, thread, idle, process, start);
        FillContext(at, start);
        return start;
    }

    private void FillKpcr(ProcessorBlock at, TwinThread thread, TwinThread idle, TwinProcess process, CpuStart start)
    {
        var kpcr = new StructWriter(_tables, "_KPCR", at.Kpcr);
        kpcr.Set("GdtBase", at.Gdt).Set("TssBase", at.Tss).Set("UserRsp", start.Mode == CpuMode.Kernel ? 0 : start.Rsp).Set("Self", at.Kpcr).Set("CurrentPrcb", at.Prcb);
        kpcr.Set("LockArray", kpcr.AddressOf("Prcb.LockQueue")).Set("Used_Self", thread.Teb).Set("IdtBase", at.Idt).Set("MajorVersion", 1).Set("MinorVersion", 1).Set("StallScaleFactor", 3408);
        kpcr.Set("Prcb.MxCsr", 0x1F80).SetWhere("Prcb.LegacyNumber", (ulong)at.Number).Set("Prcb.Number", (ulong)at.Number);
        kpcr.Set("Prcb.CurrentThread", thread.Ethread).Set("Prcb.IdleThread", idle.Ethread).Set("Prcb.RspBase", thread.InitialStack).Set("Prcb.MajorVersion", 1).Set("Prcb.MinorVersion", 1);
        // A free multiprocessor build: BuildType 0. Intel family 6: CpuVendor 2 in KPRCB (ReactOS CPU_INTEL).
        kpcr.Set("Prcb.CpuType", 6).Set("Prcb.CpuID", 1).Set("Prcb.CpuStep", 0x9E0A).Set("Prcb.MHz", 3408).Set("Prcb.CpuVendor", 2).SetBytes("Prcb.VendorString", "GenuineIntel\0"u8);
        kpcr.Set("Prcb.FeatureBits", 0x2001_3FFF).Set("Prcb.GroupSetMember", 1UL << at.Number).Set("Prcb.InitialApicId", (ulong)at.Number).SetWhere("Prcb.GroupIndex", (ulong)at.Number);
        kpcr.Set("Prcb.DpcStack", at.DpcStack).SetWhere("Prcb.IsrStack", at.IsrStack);
        kpcr.Set("Prcb.Context", at.Context).SetWhere("Prcb.ContextFlags", 0x10001F).SetWhere("Prcb.ContextFlagsInit", 0x10005F);
        if (options.KvaShadow)
        {
            // Bit 63 tells MOV CR3 to keep what the TLB has of this PCID.
            kpcr.Set("Prcb.KernelDirectoryTableBase", process.Dtb | 1UL << 63).Set("Prcb.RspBaseShadow", thread.InitialStack).Set("Prcb.UserRspShadow", start.Rsp);
            kpcr.Set("Prcb.ShadowFlags", process.UserDtb != process.Dtb ? 3UL : 0);
        }
        var special = "Prcb.ProcessorState.SpecialRegisters.";
        kpcr.Set(special + "Cr0", start.Cr0).Set(special + "Cr3", process.Dtb).Set(special + "Cr4", start.Cr4).Set(special + "KernelDr6", 0xFFFF0FF0).Set(special + "KernelDr7", 0x400);
        kpcr.Set(special + "Gdtr.Limit", start.GdtLimit).Set(special + "Gdtr.Base", at.Gdt).Set(special + "Idtr.Limit", start.IdtLimit).Set(special + "Idtr.Base", at.Idt);
        kpcr.Set(special + "Tr", start.TrSelector).Set(special + "MxCsr", 0x1F80).Set(special + "Cr8", 0);
        kpcr.Set(special + "MsrGsBase", at.Kpcr).Set(special + "MsrGsSwap", thread.Teb).Set(special + "MsrStar", start.Star).Set(special + "MsrLStar", start.LStar);
        kpcr.Set(special + "MsrCStar", start.CStar).Set(special + "MsrSyscallMask", start.SfMask).SetWhere(special + "Xcr0", 7);
        kpcr.Store(parts.System);
        parts.System.WriteU64(parts.Kernel.AddressOf("KiProcessorBlock") + (ulong)at.Number * 8, at.Prcb);
    }

    /// <summary>The context saved when the processor last froze: in a running system that was long ago, so it is not what the CPU holds now.</summary>
    private void FillContext(ProcessorBlock at, CpuStart start)
    {
        foreach (var address in new[] { at.ContextFrame, at.Context }.Distinct())
        {
            var context = new StructWriter(_tables, "_CONTEXT", address);
            context.Set("ContextFlags", 0x10001F).Set("MxCsr", 0x1F80).Set("SegCs", Descriptors.KernelCode).Set("SegSs", Descriptors.KernelData).Set("SegDs", 0x2B).Set("SegEs", 0x2B);
            context.Set("SegFs", 0x53).Set("SegGs", 0x2B).Set("EFlags", 0x40246).Set("Rip", parts.Kernel.AddressOf("RtlpBreakWithStatusInstruction")).Set("Rsp", start.KernelStack - 0x600);
            context.Store(parts.System);
        }
    }

    private ulong Stack()
    {
        var limit = parts.Ptes.Reserve(StackPages);
        parts.System.Map(limit + (StackPages - 1) * GuestRam.PageSize, parts.System.Memory.AllocatePage(), Pte.KernelData);
        return limit + StackPages * GuestRam.PageSize;
    }

    private static byte[] Xmm(int cpu)
    {
        var bytes = new byte[64];
        for (var i = 0; i < bytes.Length; i++)
            bytes[i] = (byte)(i % 16 == 15 ? cpu : 0xA0 + i / 16);
        return bytes;
    }
}
