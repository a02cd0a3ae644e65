using System.Buffers.Binary;

namespace Forengate.Lab.Image;

/// <summary>
/// PROCESSOR_START_BLOCK: the page below 1 MiB other processors start from, which the HAL leaves there. Shape: a jump over the block at 0 (E9, then flags at 4), the kernel's entry at 0x70 and the PML4 at 0xA0, as
/// tools that search memory for a DTB look for it (MemProcFS vmmwininit.c, described in the project's notes).
/// </summary>
internal static class LowStub
{
    public const ulong Address = 0x13000;
    private const int KernelEntry = 0x70;
    private const int PageTable = 0xA0;

    public static void Write(GuestRam ram, ulong entry, ulong root)
    {
        var stub = new byte[0x200];
        new byte[] { 0xE9, 0x4D, 0x06, 0x00, 0x01, 0x00, 0x00, 0x00 }.CopyTo(stub, 0);
        BinaryPrimitives.WriteUInt64LittleEndian(stub.AsSpan(KernelEntry), entry);
        BinaryPrimitives.WriteUInt64LittleEndian(stub.AsSpan(PageTable), root);
        ram.Write(Address, stub);
    }
}
