using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Finds the fields of the processors' blocks: KDBG names their places, and each is held against every processor before it is believed.</summary>
internal sealed class ProcessorDeduction(AddressSpace space, DebuggerData? debugger, DeductionLedger ledger, WindowsLimits limits)
{
    private const int StateAlignment = 16;

    /// <summary>The most bytes KDBG says a KPRCB spans: its size is 16 bits.</summary>
    private const int MaxPrcb = 0x10000;

    /// <summary>CR0.PG and CR0.PE (Intel SDM vol. 3, 2.5).</summary>
    private const ulong PagedProtected = 0x8000_0001;

    private List<VirtualAddress> _blocks = [];

    public void Run()
    {
        if (debugger is null || ledger.AddressOf(KernelGlobal.KiProcessorBlock) is not { } block)
        {
            ledger.Refuse(KernelField.KPRCB_Number, "no KDBG that names the processors");
            return;
        }
        _blocks = Blocks(block, debugger.OffsetPrcbNumber);
        if (_blocks.Count == 0)
        {
            ledger.Refuse(KernelField.KPCR_Prcb, $"KiProcessorBlock at {block} leads to no KPRCB in a KPCR that names itself and it");
            return;
        }
        var how = $"ntddk.h; {_blocks.Count} processors: the KPCR before each KPRCB of KiProcessorBlock names itself and it";
        if (debugger.OffsetPcrContainedPrcb is not (0 or PublicLayouts.PcrPrcb))
        {
            ledger.Refuse(KernelField.KPCR_Prcb, $"KDBG says +0x{debugger.OffsetPcrContainedPrcb:x}, ntddk.h +0x{PublicLayouts.PcrPrcb:x}");
            return;
        }
        ledger.Accept(KernelField.KPCR_Self, PublicLayouts.PcrSelf, how);
        ledger.Accept(KernelField.KPCR_Prcb, PublicLayouts.PcrPrcb, how);
        TakeNumber();
        TakeThread();
        TakeState();
        TakeContext();
    }

    private List<VirtualAddress> Blocks(VirtualAddress array, int number)
    {
        var blocks = new List<VirtualAddress>();
        while (blocks.Count < limits.Processors && space.TryReadPointer(array + ((ulong)blocks.Count * sizeof(ulong)), out var prcb) && IsBlock(prcb)
            && space.TryRead(prcb + (ulong)number, out uint own) && own == (uint)blocks.Count)
            blocks.Add(prcb);
        return blocks;
    }

    private bool IsBlock(VirtualAddress prcb) =>
        KernelPointers.IsObject(prcb, space.Levels) && prcb - PublicLayouts.PcrPrcb is var pcr
        && space.TryReadPointer(pcr + PublicLayouts.PcrSelf, out var self) && self == pcr
        && space.TryReadPointer(pcr + PublicLayouts.PcrCurrentPrcb, out var current) && current == prcb;

    private void TakeNumber()
    {
        // With one processor the number is zero, as much else is: KDBG's word alone, and the block's end, which a wrong one would not find.
        var offset = debugger!.OffsetPrcbNumber;
        if (offset == 0)
            ledger.Refuse(KernelField.KPRCB_Number, "KDBG does not say where it is");
        else
            ledger.Accept(KernelField.KPRCB_Number, offset, $"KDBG says so, and the {_blocks.Count} blocks are numbered from 0 there");
        if (debugger.SizePrcb > offset)
            ledger.Accept(KernelStruct.KPRCB, debugger.SizePrcb, "KDBG's SizePrcb; all fields found lie within");
    }

    private void TakeThread()
    {
        const byte threadObject = 6;
        var fits = _blocks.TrueForAll(prcb => space.TryReadPointer(prcb + PublicLayouts.PrcbCurrentThread, out var thread) && ProcessCensus.IsObject(space, thread, threadObject));
        ledger.Choose(
            KernelField.KPRCB_CurrentThread, fits ? [PublicLayouts.PrcbCurrentThread] : [], debugger!.OffsetPrcbCurrentThread,
            $"gs:[188h] (wdm.h) in {_blocks.Count} processors a thread object");
    }

    private void TakeState()
    {
        // The registers a processor was started with: its own descriptor tables, by which the place can be found without being told.
        var fits = new List<int>();
        var size = Math.Min(debugger!.SizePrcb == 0 ? MaxPrcb : debugger.SizePrcb, MaxPrcb);
        for (var offset = 0; offset + PublicLayouts.SpecialGsBase < size; offset += sizeof(ulong))
        {
            if (_blocks.TrueForAll(prcb => IsSpecialRegisters(prcb, offset)))
                fits.Add(offset);
        }
        var what = $"in {_blocks.Count} processors control registers of paged protected mode and the base of the GDT or IDT that its KPCR names";
        int special = debugger.OffsetPrcbProcStateSpecialReg, context = debugger.OffsetPrcbProcStateContext;
        if (!fits.Contains(special))
        {
            ledger.Refuse(KernelField.KPROCESSOR_STATE_SpecialRegisters, $"KDBG says KPRCB+0x{special:x}, {fits.Count} places have {what}");
            return;
        }
        // Both are the whole of KPROCESSOR_STATE, which lies at a multiple of sixteen: one begins where the other ends.
        var start = Math.Min(special, context) / StateAlignment * StateAlignment;
        var (first, second) = special < context ? (special, context) : (context, special);
        var gap = second - first;
        var adjacent = special < context ? gap is > PublicLayouts.SpecialGsBase and <= 0x100 : gap is >= PublicLayouts.ContextLength and < PublicLayouts.ContextLength + StateAlignment;
        if (!adjacent || !_blocks.TrueForAll(prcb => IsContext(prcb + (ulong)context)))
        {
            ledger.Refuse(KernelField.KPROCESSOR_STATE_ContextFrame, $"KDBG says KPRCB+0x{context:x}, which is not beside SpecialRegisters at +0x{special:x}, or no CONTEXT is there");
            return;
        }
        ledger.Accept(KernelField.KPRCB_ProcessorState, start, $"the {StateAlignment}-aligned place where SpecialRegisters and ContextFrame begin");
        ledger.Accept(KernelField.KPROCESSOR_STATE_SpecialRegisters, special - start, $"KDBG says so; {(fits.Count == 1 ? "the only place" : $"one of {fits.Count} places")} with {what}");
        ledger.Accept(KernelField.KPROCESSOR_STATE_ContextFrame, context - start, "KDBG says so; it is beside SpecialRegisters, and holds a CONTEXT of this processor kind or none yet");
    }

    private void TakeContext()
    {
        if (debugger!.OffsetPrcbContext is not { } offset || offset == 0)
        {
            ledger.Refuse(KernelField.KPRCB_Context, "KDBG does not say where it is");
            return;
        }
        var fits = _blocks.TrueForAll(prcb => space.TryReadPointer(prcb + (ulong)offset, out var context) && IsContext(context));
        ledger.Choose(KernelField.KPRCB_Context, fits ? [offset] : [], offset, $"in {_blocks.Count} processors the address of a CONTEXT");
    }

    private bool IsSpecialRegisters(VirtualAddress prcb, int offset)
    {
        var (at, pcr) = (prcb + (ulong)offset, prcb - PublicLayouts.PcrPrcb);
        return (Same(pcr + PublicLayouts.PcrGdtBase, at + PublicLayouts.SpecialGdtrBase) || Same(pcr + PublicLayouts.PcrIdtBase, at + PublicLayouts.SpecialIdtrBase))
            && space.TryRead(at + PublicLayouts.SpecialCr0, out ulong cr0) && (cr0 & PagedProtected) == PagedProtected && cr0 <= uint.MaxValue
            && space.TryRead(at + PublicLayouts.SpecialCr3, out ulong cr3) && KernelPointers.TableBase(cr3) is var table && table != 0 && table < space.Memory.End.Value;
    }

    private bool Same(VirtualAddress one, VirtualAddress other) => space.TryRead(one, out ulong here) && here != 0 && space.TryRead(other, out ulong there) && here == there;

    private bool IsContext(VirtualAddress at) =>
        KernelPointers.IsObject(at, space.Levels) && space.TryRead(at + PublicLayouts.ContextFlags, out uint flags)
        && ((flags & PublicLayouts.ContextAmd64) != 0 || flags == 0);
}
