using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>What 32-bit addresses must look like before they are followed.</summary>
internal static class X86Pointers
{
    public const int PaeLevels = 3;

    /// <summary>Where the kernel's half begins unless Windows was started with a larger user half, which moves it up (MmSystemRangeStart, 0x80000000 by default).</summary>
    public const uint KernelStart = 0x8000_0000;

    /// <summary>KUSER_SHARED_DATA in the kernel's half (KI_USER_SHARED_DATA for x86, ntddk.h).</summary>
    public static readonly VirtualAddress SharedData = new(0xFFDF_0000);

    public static bool IsKernel(uint address) => address >= KernelStart;

    public static bool IsObject(uint address) => IsKernel(address) && address % sizeof(uint) == 0;

    /// <summary>The top table's address as CR3 or a process has it: a page directory's page; with PAE a table of pointers, aligned to 32 bytes.</summary>
    public static ulong TableBase(ulong stored, int levels) => stored & (levels == PaeLevels ? 0xFFFF_FFE0UL : 0xFFFF_F000UL);

    /// <summary>Reads a pointer into the kernel's half.</summary>
    public static bool TryRead(AddressSpace space, VirtualAddress at, out VirtualAddress pointer)
    {
        pointer = space.TryRead(at, out uint value) ? new VirtualAddress(value) : default;
        return IsKernel((uint)pointer.Value);
    }

    /// <summary>The characters of a 32-bit UNICODE_STRING at an address; null where it is not sane or not in memory.</summary>
    public static string? ReadString(AddressSpace space, VirtualAddress at) =>
        space.TryRead(at, out ulong descriptor)
            ? new UnicodeString((ushort)descriptor, (ushort)(descriptor >> 16), new VirtualAddress(descriptor >> 32)).Read(space)
            : null;
}
