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
}
