using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>What a pointer must look like before it is followed.</summary>
internal static class KernelPointers
{
    /// <summary>In the kernel's half, canonical, aligned as everything that holds pointers is.</summary>
    /// <param name="address">The pointer; of 32-bit kernels as stored, zero-extended.</param>
    /// <param name="levels">4 or 5; 2 or 3 for 32-bit kernels.</param>
    public static bool IsObject(VirtualAddress address, int levels) => levels < 4
        ? address.Value <= uint.MaxValue && X86Pointers.IsObject((uint)address.Value)
        : address.IsKernel && address.IsCanonical(levels) && (address.Value & 7) == 0;

    /// <summary>In the user's half and not within the first 64 KiB, which Windows never hands out.</summary>
    public static bool IsUser(VirtualAddress address, int levels) => !address.IsKernel && address.IsCanonical(levels) && address.Value >= 0x1_0000;

    /// <summary>A page table's base as stored: PCID, flags and bit 63 taken off.</summary>
    public static ulong TableBase(ulong stored) => stored & PageTableEntry.AddressMask;
}
