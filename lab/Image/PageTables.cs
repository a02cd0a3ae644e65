namespace Forengate.Lab.Image;

/// <summary>Page tables of four or, with CR4.LA57, five levels, written into guest RAM (Intel SDM vol. 3A, 4.5).</summary>
internal sealed class PageTables(PhysicalAllocator memory, int levels)
{
    /// <summary>Levels at which an entry may map a page itself: 4 KiB, 2 MiB, 1 GiB.</summary>
    private const int LeafLevels = 3;
    private const ulong LargeMask = 0x1F_FFFF;
    private readonly GuestRam _ram = memory.Ram;

    public int Levels => levels;

    /// <summary>Physical pages that hold tables, so that a truth can tell them from data.</summary>
    public int TablePages { get; private set; }

    public ulong NewTable()
    {
        TablePages++;
        return memory.AllocatePage();
    }

    public void Map(ulong root, ulong va, ulong pa, ulong flags) => _ram.WriteU64(Slot(root, va, 0), pa | flags);

    public void MapLarge(ulong root, ulong va, ulong pa, ulong flags) => _ram.WriteU64(Slot(root, va, 1), pa | flags | Pte.Large);

    /// <summary>Sets a 4 KiB entry to a value of any kind, also one that is not valid.</summary>
    public void SetEntry(ulong root, ulong va, ulong value) => _ram.WriteU64(Slot(root, va, 0), value);

    /// <summary>Makes sure that the top-level entry for an address exists, so that every process made later shares what lies under it.</summary>
    public void Reserve(ulong root, ulong va) => Slot(root, va, levels - 2);

    /// <summary>First address under a top-level slot, sign-extended as the processor demands.</summary>
    public ulong AddressOf(int slot)
    {
        var above = 64 - 12 - 9 * levels;
        return (ulong)((long)((ulong)slot << (12 + 9 * (levels - 1) + above)) >> above);
    }

    public static int Index(ulong va, int level) => (int)(va >> (12 + 9 * level)) & 0x1FF;

    public bool TryTranslate(ulong root, ulong va, out ulong pa) => TryTranslate(root, va, out pa, out _);

    public bool TryTranslate(ulong root, ulong va, out ulong pa, out ulong pageSize)
    {
        pa = 0;
        pageSize = 0;
        var table = root & Pte.AddressMask;
        for (var level = levels - 1; level >= 0; level--)
        {
            var entry = _ram.ReadU64(table + (ulong)Index(va, level) * 8);
            if ((entry & Pte.Valid) == 0)
                return false;
            if (level == 0 || (entry & Pte.Large) != 0 && level < LeafLevels)
            {
                pageSize = 1UL << (12 + 9 * level);
                pa = (entry & Pte.AddressMask & ~(pageSize - 1)) | va & (pageSize - 1);
                return true;
            }
            table = entry & Pte.AddressMask;
            if (!_ram.Contains(table, GuestRam.PageSize))
                return false;
        }
        return false;
    }

    /// <summary>Address of the entry for <paramref name="va"/> at a level (0 = PTE, 1 = PDE, 2 = PDPTE, 3 = PML4E); missing tables above are made.</summary>
    private ulong Slot(ulong root, ulong va, int leaf)
    {
        var table = root & Pte.AddressMask;
        for (var level = levels - 1; level > leaf; level--)
        {
            var slot = table + (ulong)Index(va, level) * 8;
            var entry = _ram.ReadU64(slot);
            if ((entry & Pte.Valid) == 0)
            {
                entry = NewTable() | (va >> 63 == 0 ? Pte.UserTable : Pte.KernelTable);
                _ram.WriteU64(slot, entry);
            }
            else if ((entry & Pte.Large) != 0)
            {
                throw new InvalidOperationException($"0x{va:x} lies in a large page");
            }
            table = entry & Pte.AddressMask;
        }
        if (leaf == 1 && (va & LargeMask) != 0)
            throw new InvalidOperationException($"0x{va:x} is no start of a large page");
        return table + (ulong)Index(va, leaf) * 8;
    }
}
