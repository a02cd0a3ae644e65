namespace Forengate.Memory;

/// <summary>
/// Bits of x86 paging-structure entries (Intel SDM vol. 3A: 32-bit paging 4.3, tables 4-4 to 4-6; PAE 4.4, tables 4-8 to 4-11; four and five levels 4.5, tables 4-14 to 4-20).
/// Entries of 32-bit paging are 4 bytes long and taken zero-extended.
/// </summary>
public static class PageTableEntry
{
    public const ulong Present = 1UL << 0;
    public const ulong Writable = 1UL << 1;
    public const ulong User = 1UL << 2;
    public const ulong Accessed = 1UL << 5;
    public const ulong Dirty = 1UL << 6;
    /// <summary>In a PDE or PDPTE: the entry maps a 4 MiB (32-bit paging), 2 MiB or 1 GiB page.</summary>
    public const ulong LargePage = 1UL << 7;
    public const ulong Global = 1UL << 8;
    public const ulong NoExecute = 1UL << 63;

    /// <summary>Physical address bits of an entry that points to a 4 KiB page or table (bits 12 to 51).</summary>
    public const ulong AddressMask = 0x000F_FFFF_FFFF_F000;

    /// <summary>Entries in one table with four or five levels.</summary>
    public const int Count = 512;

    /// <summary>Bit 12 of an entry that maps a large page: part of the memory type (PAT), not of the address.</summary>
    private const ulong LargePagePat = 1UL << 12;

    /// <summary>Bits 1, 2 and 6 to 8 of a PDPTE with PAE paging: reserved (table 4-8). Bit 5 is too, but QEMU's TCG sets it as the accessed bit of other entries.</summary>
    private const ulong PaeTopReserved = 0x1C6;

    /// <summary>Bits 13 to 20 of a PDE that maps 4 MiB: bits 32 to 39 of the page's address (PSE-36, table 4-4).</summary>
    private const int Pse36Bits = 13, Pse36To = 32;
    private const ulong Pse36Mask = 0xFF;

    /// <summary>Bit 21 of such a PDE: reserved.</summary>
    private const ulong Pse36Reserved = 1UL << 21;

    /// <summary>True when a present entry maps a page, and does not point to a table.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="level">1 = PTE … 5 = PML5E.</param>
    /// <param name="levels">2 (32-bit paging; CR4.PSE is taken for granted, Windows always sets it), 3 (PAE), 4 or 5.</param>
    public static bool IsLeaf(ulong entry, int level, int levels = 4) =>
        level == 1 || ((entry & LargePage) != 0 && (level == 2 || (level == 3 && levels >= 4)));

    /// <summary>Guest-physical address of the page that a leaf maps.</summary>
    public static ulong PageOf(ulong entry, int level, int levels = 4)
    {
        var span = 1UL << PagingShape.ShiftOf(level, levels);
        var start = entry & AddressMask & ~(span - 1);
        return levels == 2 && level == 2 ? start | (((entry >> Pse36Bits) & Pse36Mask) << Pse36To) : start;
    }

    /// <summary>
    /// True when a present entry has bits set that every CPU reserves (a reserved-bit page fault): the large-page bit above PDPTEs, address bits below the size of a large page,
    /// permission bits in a PDPTE of PAE. Bits above the CPU's own physical width, which no image tells, are not looked at.
    /// </summary>
    /// <param name="entry">The entry.</param>
    /// <param name="level">1 = PTE … 5 = PML5E.</param>
    /// <param name="levels">2, 3, 4 or 5.</param>
    public static bool IsMalformed(ulong entry, int level, int levels = 4)
    {
        if (levels == 3 && level == 3)
            return (entry & PaeTopReserved) != 0;
        if (level == 1 || (entry & LargePage) == 0)
            return false;
        if (levels == 2)
            return (entry & Pse36Reserved) != 0;
        var span = 1UL << PagingShape.ShiftOf(level, levels);
        return level >= 4 || (entry & AddressMask & (span - 1) & ~LargePagePat) != 0;
    }

    /// <summary>True when the entry's permission bits count: those of a PDPTE of PAE do not exist.</summary>
    internal static bool HasPermissions(int level, int levels) => level != 3 || levels != 3;
}
