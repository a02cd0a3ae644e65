namespace Forengate.Memory.Tests;

/// <summary>Builds page tables by hand, from a page allocator that starts at 1 MiB.</summary>
internal sealed class PageTables
{
    public const ulong P = PageTableEntry.Present;
    public const ulong W = PageTableEntry.Writable;
    public const ulong U = PageTableEntry.User;

    private readonly TestMemory _memory;
    private readonly int _levels;
    private ulong _next = 0x10_0000;

    public PageTables(TestMemory memory, int levels = 4)
    {
        _memory = memory;
        _levels = levels;
        Top = NewTable();
    }

    public ulong Top { get; }

    public ulong NewTable()
    {
        var table = _next;
        _next += Page.Size;
        _memory.PageAt(table);
        return table;
    }

    /// <summary>Sets the entry of a level (1 = PTE) for an address and makes the tables above it.</summary>
    public ulong Set(ulong address, int level, ulong entry, ulong tableFlags = P | W | U)
    {
        var table = Top;
        for (var i = _levels; i > level; i--)
        {
            var slot = Slot(address, i);
            _memory.TryRead(new PhysicalAddress(table + ((ulong)slot * 8)), out ulong existing);
            if ((existing & P) == 0)
            {
                existing = NewTable() | tableFlags;
                _memory.WriteEntry(table, slot, existing);
            }
            table = existing & PageTableEntry.AddressMask;
        }
        _memory.WriteEntry(table, Slot(address, level), entry);
        return table;
    }

    public static int Slot(ulong address, int level) => (int)(address >> (12 + (9 * (level - 1)))) & 511;
}
