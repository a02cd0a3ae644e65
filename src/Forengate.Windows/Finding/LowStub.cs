using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// The real-mode start code Windows keeps below 640 KiB to bring up processors (<c>_PROCESSOR_START_BLOCK</c>). Where firmware leaves it in place it names the kernel's page
/// table and entry point, and that is the fastest way into an image without registers.
/// </summary>
/// <remarks>
/// The structure is in no public type table. Its shape as read in MemProcFS: a near jump and a completion flag of 1 as the first eight bytes (<c>E9 xx 06 00 01 00 00 00</c>),
/// the kernel's entry at +0x70 (<c>LmTarget</c>), CR3 at +0xA0 (in <c>ProcessorState.SpecialRegisters</c>).
/// </remarks>
/// <param name="Page">The page it lies in.</param>
/// <param name="KernelEntry">An address in the kernel's image.</param>
/// <param name="DirectoryTableBase">Guest-physical address of the top page table.</param>
internal readonly record struct LowStub(PhysicalAddress Page, VirtualAddress KernelEntry, ulong DirectoryTableBase)
{
    private const ulong First = 0x1000;
    private const ulong End = 0xA_0000;
    private const ulong StartMask = 0xFFFF_FFFF_FFFF_00FF;
    private const ulong StartBytes = 0x0000_0001_0006_00E9;
    private const int LmTarget = 0x70;
    private const int Cr3 = 0xA0;

    public static List<LowStub> Find(PhysicalMemory memory)
    {
        var found = new List<LowStub>();
        Span<byte> head = stackalloc byte[Cr3 + sizeof(ulong)];
        for (var page = new PhysicalAddress(First); page.Value < End; page += Memory.Page.Size)
        {
            if (!memory.TryRead(page, head) || (BinaryPrimitives.ReadUInt64LittleEndian(head) & StartMask) != StartBytes)
                continue;
            var entry = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(head[LmTarget..]));
            var table = BinaryPrimitives.ReadUInt64LittleEndian(head[Cr3..]);
            if (entry.IsKernel && entry.IsCanonical(5) && table == KernelPointers.TableBase(table) && table != 0 && table < memory.End.Value)
                found.Add(new LowStub(page, entry, table));
        }
        return found;
    }
}
