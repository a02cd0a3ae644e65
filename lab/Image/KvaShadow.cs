namespace Forengate.Lab.Image;

/// <summary>
/// User page tables with KVA shadow. Into them go the process's own half, the KVASCODE section, and of each processor its five-page block (IDT, TSS, GDT, transition stacks) and the KPRCB page that begins
/// with KernelDirectoryTableBase: what KiShadowProcessorAllocation and MmCreateShadowMapping map, seen in the kernels' public symbols and code.
/// </summary>
internal sealed class KvaShadow(PhysicalAllocator memory, PageTables tables, AddressSpace system)
{
    // The PCIDs Windows gives to the two views of a process.
    public const ulong KernelPcid = 2;
    public const ulong UserPcid = 1;
    private const int UserHalf = 0x800;
    private readonly ulong _template = tables.NewTable();

    /// <summary>Maps pages of the system's view into what all user tables share.</summary>
    public void Share(ulong va, ulong bytes)
    {
        for (var at = va & ~0xFFFUL; at < va + bytes; at += GuestRam.PageSize)
        {
            system.Tables.TryTranslate(system.Root, at, out var pa);
            var flags = at >= CodeStart && at < CodeEnd ? Pte.KernelCode : Pte.KernelData;
            tables.Map(_template, at, pa, flags);
        }
    }

    /// <summary>Range of the shared code section, which is mapped executable.</summary>
    public ulong CodeStart { get; init; }
    public ulong CodeEnd { get; init; }

    /// <summary>
    /// The user table of a process whose full table is at <paramref name="root"/>. In the full table the user half then loses its right to execute: Windows' "software SMEP" (Microsoft, "KVA Shadow: Mitigating
    /// Meltdown on Windows", 2018).
    /// </summary>
    public ulong Create(ulong root)
    {
        var table = tables.NewTable();
        memory.Ram.Write(table, memory.Ram.Read(root, UserHalf));
        memory.Ram.Write(table + UserHalf, memory.Ram.Read(_template + UserHalf, UserHalf));
        for (var slot = root; slot < root + UserHalf; slot += 8)
        {
            var entry = memory.Ram.ReadU64(slot);
            if ((entry & Pte.Valid) != 0)
                memory.Ram.WriteU64(slot, entry | Pte.NoExecute);
        }
        return table;
    }
}
