namespace Forengate.Memory;

/// <summary>
/// The geometry of a paging mode, told by its number of levels: 2 = 32-bit paging (1,024 entries of 4 bytes a table), 3 = PAE (512 entries of 8 bytes, 4 in the top table),
/// 4 and 5 = long mode (Intel SDM vol. 3A, 4.1 to 4.5).
/// </summary>
internal static class PagingShape
{
    public const int Least = 2;
    public const int Most = 5;

    private const int TopEntriesOfPae = 4;
    private const int EntriesOf32Bit = 1024;

    /// <summary>CR3 with PAE paging: bits 5 to 31, the top table is 32 bytes long.</summary>
    private const ulong PaeBaseMask = 0xFFFF_FFE0;

    private const ulong LegacyBaseMask = 0xFFFF_F000;

    /// <summary>Bits of the virtual address below a level's index: 12 for PTEs.</summary>
    public static int ShiftOf(int level, int levels) => Page.Shift + ((levels == 2 ? 10 : 9) * (level - 1));

    public static int EntrySize(int levels) => levels == 2 ? sizeof(uint) : sizeof(ulong);

    public static int EntriesOf(int level, int levels) => levels == 2 ? EntriesOf32Bit : levels == 3 && level == 3 ? TopEntriesOfPae : PageTableEntry.Count;

    /// <summary>Where an address's entry lies in the table of a level, in bytes.</summary>
    public static ulong EntryOffset(VirtualAddress address, int level, int levels) =>
        ((address.Value >> ShiftOf(level, levels)) & (ulong)(EntriesOf(level, levels) - 1)) * (ulong)EntrySize(levels);

    /// <summary>The top table's address in CR3, without what else is kept there.</summary>
    public static ulong TableBase(ulong directoryTableBase, int levels) => directoryTableBase & levels switch
    {
        2 => LegacyBaseMask,
        3 => PaeBaseMask,
        _ => PageTableEntry.AddressMask,
    };

    /// <summary>Virtual address of an entry's first byte: sign-extended in long mode as the CPU wants it, 32 bits otherwise.</summary>
    public static ulong AddressOf(ulong start, int slot, int level, int levels)
    {
        var address = start | ((ulong)slot << ShiftOf(level, levels));
        if (level != levels || levels < 4)
            return address;
        var unused = 64 - Page.Shift - (9 * levels);
        return (ulong)((long)(address << unused) >> unused);
    }
}
