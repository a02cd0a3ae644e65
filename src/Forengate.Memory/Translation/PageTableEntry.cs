namespace Forengate.Memory;

/// <summary>Bits of x64 paging-structure entries (Intel SDM vol. 3A, 4.5, tables 4-14 to 4-20).</summary>
public static class PageTableEntry
{
    public const ulong Present = 1UL << 0;
    public const ulong Writable = 1UL << 1;
    public const ulong User = 1UL << 2;
    public const ulong Accessed = 1UL << 5;
    public const ulong Dirty = 1UL << 6;
    /// <summary>In a PDE or PDPTE: the entry maps a 2 MiB or 1 GiB page.</summary>
    public const ulong LargePage = 1UL << 7;
    public const ulong Global = 1UL << 8;
    public const ulong NoExecute = 1UL << 63;

    /// <summary>Physical address bits of an entry that points to a 4 KiB page or table (bits 12 to 51).</summary>
    public const ulong AddressMask = 0x000F_FFFF_FFFF_F000;

    /// <summary>Entries in one table.</summary>
    public const int Count = 512;

    /// <summary>Bit 12 of an entry that maps a large page: part of the memory type (PAT), not of the address.</summary>
    private const ulong LargePagePat = 1UL << 12;

    /// <summary>True when a present entry maps a page, and does not point to a table.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="level">1 = PTE … 5 = PML5E.</param>
    public static bool IsLeaf(ulong entry, int level) => level == 1 || (level <= 3 && (entry & LargePage) != 0);

    /// <summary>
    /// True when a present entry has bits set that every CPU reserves (a reserved-bit page fault): the large-page bit above PDPTEs, address bits below the size of a large page. Bits
    /// above the CPU's own physical width, which no image tells, are not looked at.
    /// </summary>
    /// <param name="entry">The entry.</param>
    /// <param name="level">1 = PTE … 5 = PML5E.</param>
    public static bool IsMalformed(ulong entry, int level)
    {
        if (level == 1 || (entry & LargePage) == 0)
            return false;
        var span = 1UL << (Page.Shift + (9 * (level - 1)));
        return level >= 4 || (entry & AddressMask & (span - 1) & ~LargePagePat) != 0;
    }
}
