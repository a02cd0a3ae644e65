using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// A Windows address space: as <see cref="AddressSpace"/>, and pages in transition (trimmed from a working set, not valid for the CPU, bytes still in their frame) have bytes too.
/// </summary>
/// <remarks>
/// Bits of an invalid PTE as <c>_MMPTE_TRANSITION</c> has them in the public type tables of every x64 build from 7601 to 22000:
/// Valid 0, SwizzleBit 4, Prototype 10, Transition 11, PageFrameNumber from 12. They are the same in all, so that no profile is needed.
/// Where SwizzleBit is clear, Windows with L1TF mitigation sets a physical address bit above all memory in invalid entries; such a bit is taken off again.
/// </remarks>
public sealed class WindowsAddressSpace : AddressSpace
{
    private const ulong SwizzleBit = 1UL << 4;
    private const ulong Prototype = 1UL << 10;
    private const ulong Transition = 1UL << 11;

    private readonly ulong _addressBitsInUse;

    public WindowsAddressSpace(PhysicalMemory memory, ulong directoryTableBase, int levels = 4)
        : base(memory, directoryTableBase, levels)
    {
        var end = memory.End.Value;
        _addressBitsInUse = end <= 1 ? 0 : ulong.MaxValue >> System.Numerics.BitOperations.LeadingZeroCount(end - 1);
    }

    /// <summary>Start of the page that a PTE which is not valid leads to all the same; null where it is in no transition, or leads out of memory.</summary>
    internal PhysicalAddress? PageInTransition(ulong entry)
    {
        if ((entry & (PageTableEntry.Present | Prototype | Transition)) != Transition)
            return null;
        var frame = entry & PageTableEntry.AddressMask;
        if ((entry & SwizzleBit) == 0)
            frame &= _addressBitsInUse;
        return frame != 0 && frame < Memory.End.Value ? new PhysicalAddress(frame) : null;
    }

    protected override bool TryResolveNotPresent(VirtualAddress address, int level, ulong entry, out PhysicalAddress page)
    {
        var found = level == 1 ? PageInTransition(entry) : null;
        page = found ?? default;
        return found is not null;
    }
}
