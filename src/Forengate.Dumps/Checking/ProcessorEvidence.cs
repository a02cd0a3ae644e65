using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>All that memory tells of one processor, and whether its parts belong together.</summary>
internal sealed class ProcessorEvidence(AddressSpace space, DebuggerBlock kdbg, int number, VirtualAddress kprcb)
{
    // KPCR (ntddk.h): Self and CurrentPrcb; KDBG repeats the offsets, and the two must agree with what a debugger does.
    private const ushort KpcrSelf = 0x18, KpcrCurrentPrcb = 0x20;

    // NT_TIB (winnt.h), with which a TEB begins.
    private const int TebStackBase = 0x08, TebStackLimit = 0x10;

    /// <summary>A kernel stack of Windows on x64: 24 KiB; one enlarged for graphics or expansion is longer (KERNEL_LARGE_STACK_SIZE, ntddk.h).</summary>
    private const ulong KernelStack = 0x6000, LargeKernelStack = 0x1_8000;

    private VirtualAddress _initialStack;
    private ulong _userStackBase;
    private ulong _userStackLimit;

    public int Number => number;

    public VirtualAddress Kpcr { get; } = kprcb - kdbg.Word(DebuggerDataField.OffsetPcrContainedPrcb);

    public byte[]? Context { get; private set; }

    public byte[]? SpecialRegisters { get; private set; }

    public CheckedProcessor Result { get; set; } = new() { Number = number, Kprcb = kprcb };

    public bool ReadKprcb(CheckFindings findings)
    {
        if (!kprcb.IsKernel || !space.TryRead(kprcb + kdbg.Word(DebuggerDataField.OffsetPrcbNumber), out uint stored))
        {
            findings.Error(CheckCode.ProcessorBlock, $"processor {number}: its KPRCB at {kprcb} cannot be read: a debugger has no registers for it");
            return false;
        }
        if (stored != number)
            findings.Warning(CheckCode.ProcessorBlock, $"processor {number}: its KPRCB at {kprcb} says it is number {stored}");
        if (!space.TryReadPointer(Kpcr + KpcrSelf, out var self) || !space.TryReadPointer(Kpcr + KpcrCurrentPrcb, out var current) || self != Kpcr || current != kprcb)
            findings.Warning(CheckCode.ProcessorBlock, $"processor {number}: at {Kpcr} lies no KPCR of the KPRCB at {kprcb}");
        var size = kdbg.Word(DebuggerDataField.SizePrcb);
        if (size == 0 || !space.TryRead(kprcb + (ulong)(size - 1), out byte _))
            findings.Warning(CheckCode.ProcessorBlock, $"processor {number}: its KPRCB at {kprcb} cannot be read to its end");
        return true;
    }

    public void ReadContext(CheckFindings findings)
    {
        if (kdbg.Word(DebuggerDataField.OffsetPrcbContext) is not (not 0 and var offset) || !space.TryReadPointer(kprcb + offset, out var place) || place.IsNull)
        {
            findings.Error(CheckCode.Context, $"processor {number}: its KPRCB leads to no CONTEXT");
            return;
        }
        var context = new byte[Amd64ContextLayout.Size];
        if (!space.TryRead(place, context))
        {
            findings.Error(CheckCode.Context, $"processor {number}: the CONTEXT at {place} cannot be read");
            return;
        }
        Context = context;
        var view = new Amd64ContextView(context);
        Result = Result with { Context = place, Rip = view.Rip, Rsp = view.Rsp, SegCs = view.SegCs };
        if (view.SegCs == 0)
            findings.Error(CheckCode.Context, $"processor {number}: the CONTEXT at {place} has no code selector: a debugger's descriptor lookup fails");
        else if ((view.Flags & Amd64ContextFlags.Amd64) == 0)
            findings.Warning(CheckCode.Context, $"processor {number}: ContextFlags 0x{(uint)view.Flags:x} in the CONTEXT at {place} are not AMD64's");
        if (!new VirtualAddress(view.Rip).IsCanonical(5))
            findings.Error(CheckCode.Context, $"processor {number}: rip 0x{view.Rip:x} in the CONTEXT at {place} is no address");
    }

    public void ReadSpecialRegisters(CheckFindings findings)
    {
        var registers = new byte[SpecialRegistersLayout.MinSize];
        var place = kprcb + kdbg.Word(DebuggerDataField.OffsetPrcbProcStateSpecialReg);
        if (space.TryRead(place, registers))
            SpecialRegisters = registers;
        else
            findings.Error(CheckCode.SpecialRegisters, $"processor {number}: SpecialRegisters at {place} cannot be read: a debugger's ReadControl fails");
    }

    /// <summary>The running thread, its process and page table, which a debugger takes when it is told to look at this processor; and where the thread's stacks are.</summary>
    public void ReadThread(VirtualAddress inKernel, CheckFindings findings)
    {
        if (kdbg.Word(DebuggerDataField.OffsetKThreadApcProcess) is not (not 0 and var processOffset))
            return;
        if (!space.TryReadPointer(kprcb + kdbg.Word(DebuggerDataField.OffsetPrcbCurrentThread), out var thread) || !thread.IsKernel ||
            !space.TryReadPointer(thread + processOffset, out var process))
        {
            findings.Error(CheckCode.Thread, $"processor {number}: its KTHREAD at {thread} cannot be read");
            return;
        }
        if (kdbg.Word(DebuggerDataField.OffsetKThreadInitialStack) is not 0 and var initial && space.TryReadPointer(thread + initial, out var stack) && stack.IsKernel)
            _initialStack = stack;

        if (!space.TryRead(process + kdbg.Word(DebuggerDataField.OffsetEprocessDirectoryTableBase), out ulong table) ||
            !space.TryRead(process + kdbg.Word(DebuggerDataField.OffsetEprocessPeb), out ulong _))
        {
            findings.Error(CheckCode.Thread, $"processor {number}: the process at {process} that runs there cannot be read: a debugger cannot take its page tables");
            return;
        }
        var user = new WindowsAddressSpace(space.Memory, table, space.Levels);
        if (!user.TryRead(inKernel, out byte _))
        {
            findings.Error(CheckCode.Thread, $"processor {number}: the page table 0x{table:x} of the process at {process} does not map the kernel");
            return;
        }
        // The TEB lies in the process's own half.
        if (kdbg.Word(DebuggerDataField.OffsetKThreadTeb) is not 0 and var tebOffset && space.TryReadPointer(thread + tebOffset, out var teb) && !teb.IsNull && !teb.IsKernel &&
            user.TryRead(teb + TebStackBase, out ulong stackBase) && user.TryRead(teb + TebStackLimit, out ulong stackLimit) && stackLimit < stackBase)
            (_userStackBase, _userStackLimit) = (stackBase, stackLimit);
    }

    /// <summary>Whether context and special registers are this processor's, or another's.</summary>
    public void Judge(IReadOnlyList<ProcessorEvidence> all, CheckFindings findings)
    {
        if (SpecialRegisters is { } registers)
        {
            var gsBase = BinaryPrimitives.ReadUInt64LittleEndian(registers.AsSpan(SpecialRegistersLayout.MsrGsBase));
            var gsSwap = BinaryPrimitives.ReadUInt64LittleEndian(registers.AsSpan(SpecialRegistersLayout.MsrGsSwap));
            if (gsBase != Kpcr.Value && gsSwap != Kpcr.Value)
            {
                if (all.FirstOrDefault(other => other.Kpcr.Value == gsBase || other.Kpcr.Value == gsSwap) is { } owner)
                    findings.Error(CheckCode.ContextSwapped, $"processor {number} has the SpecialRegisters of processor {owner.Number}: their GS bases are that one's KPCR {owner.Kpcr}");
                else if (gsBase != 0 || gsSwap != 0)
                    findings.Warning(CheckCode.SpecialRegisters, $"processor {number}: neither GS base in SpecialRegisters (0x{gsBase:x}, 0x{gsSwap:x}) is its KPCR {Kpcr}");
                else
                    findings.Note(CheckCode.SpecialRegisters, $"processor {number}: SpecialRegisters hold no GS bases");
            }
        }
        if (Context is null || Result.Rsp is not { } rsp || OwnsStack(rsp, LargeKernelStack))
            return;
        if (all.FirstOrDefault(other => other.Number != number && other.OwnsStack(rsp, KernelStack)) is { } stackOwner)
            findings.Error(CheckCode.ContextSwapped, $"processor {number} has the CONTEXT of processor {stackOwner.Number}: rsp 0x{rsp:x} lies on the stack of the thread that runs there");
    }

    private bool OwnsStack(ulong rsp, ulong kernelStack) =>
        (_initialStack.Value != 0 && rsp <= _initialStack.Value && _initialStack.Value - rsp < kernelStack) || (rsp > _userStackLimit && rsp <= _userStackBase);
}
