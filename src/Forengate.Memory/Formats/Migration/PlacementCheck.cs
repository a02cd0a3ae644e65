using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// Judges a placement of RAM by the page tables that the CPUs use: every table they lead to must lie in RAM, and must look like a table. A wrong split moves all that lies above it.
/// </summary>
internal static class PlacementCheck
{
    private const ulong Cr0Paging = 1UL << 31;

    /// <summary>Tables of the second level that are looked into, for each CPU.</summary>
    private const int MostTables = 64;

    /// <summary>How the CPUs' page tables fit: good and bad entries.</summary>
    public static (int Good, int Bad) Judge(PhysicalMemory memory, IReadOnlyList<CpuState> cpus)
    {
        var (good, bad) = (0, 0);
        var seen = new HashSet<ulong>();
        foreach (var cpu in cpus)
        {
            if (cpu.IsLongMode != true || (cpu.Cr0 & Cr0Paging) == 0 || cpu.Cr3 is not { } root || !seen.Add(root & PageTableEntry.AddressMask))
                continue;
            var table = new ulong[PageTableEntry.Count];
            if (!ReadTable(memory, root & PageTableEntry.AddressMask, table))
            {
                bad += PageTableEntry.Count;
                continue;
            }
            var tables = 0;
            var present = 0;
            foreach (var entry in table)
            {
                if ((entry & PageTableEntry.Present) == 0)
                    continue;
                present++;
                Count(IsRam(memory, entry & PageTableEntry.AddressMask));
                if (tables++ < MostTables)
                    Descend(entry & PageTableEntry.AddressMask);
            }
            if (present == 0)
                bad += PageTableEntry.Count;
        }
        return (good, bad);

        void Descend(ulong address)
        {
            var table = new ulong[PageTableEntry.Count];
            if (!ReadTable(memory, address, table))
                return;
            foreach (var entry in table)
            {
                // Large pages may map devices, tables never lie in them.
                if ((entry & PageTableEntry.Present) != 0 && (entry & PageTableEntry.LargePage) == 0)
                    Count(IsRam(memory, entry & PageTableEntry.AddressMask));
            }
        }

        void Count(bool fits)
        {
            if (fits)
                good++;
            else
                bad++;
        }
    }

    private static bool ReadTable(PhysicalMemory memory, ulong address, ulong[] table) => memory.TryRead(new PhysicalAddress(address), MemoryMarshal.AsBytes(table.AsSpan()));

    private static bool IsRam(PhysicalMemory memory, ulong address)
    {
        foreach (var range in memory.Ranges)
        {
            if (range.Contains(new PhysicalAddress(address)))
                return true;
        }
        return false;
    }
}
