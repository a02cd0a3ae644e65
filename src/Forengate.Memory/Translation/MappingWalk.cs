using System.Collections;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// The present pages of a range of virtual addresses, in ascending order, found by walking the tables downwards: what is not mapped costs nothing.
/// </summary>
/// <remarks>
/// Tables are hostile. A table that is already on the way down (Windows' own self-map, or a forged loop) is not entered again; a forest of shared tables ends at the budget. Tables that
/// the view does not hold are skipped. Enumerating again starts anew and resets the counters. Not safe for concurrent use.
/// </remarks>
public sealed class MappingWalk : IEnumerable<PageMapping>
{
    /// <summary>Enough for the tables of 512 GiB in 4 KiB pages.</summary>
    public const int DefaultTableBudget = 1 << 18;

    private readonly AddressSpace _space;
    private readonly ulong _first;
    private readonly ulong _last;

    /// <param name="space">Whose tables.</param>
    /// <param name="first">Lowest address wanted; the page it lies in comes whole.</param>
    /// <param name="last">Highest address wanted, included.</param>
    /// <param name="tableBudget">Most tables looked into, counting repeats.</param>
    internal MappingWalk(AddressSpace space, VirtualAddress first, VirtualAddress last, int tableBudget)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tableBudget, 1);
        _space = space;
        (_first, _last) = (first.Value, last.Value);
        TableBudget = tableBudget;
    }

    public int TableBudget { get; }

    /// <summary>Tables looked into so far.</summary>
    public int TablesRead { get; private set; }

    /// <summary>Tables that the view does not hold.</summary>
    public int TablesMissing { get; private set; }

    /// <summary>Entries that lead back to a table on the way to them.</summary>
    public int LoopsSkipped { get; private set; }

    /// <summary>Present entries with bits that the CPU would fault on.</summary>
    public int Malformed { get; private set; }

    /// <summary>True when the walk ended because the budget was used up: there may be more pages.</summary>
    public bool BudgetExhausted { get; private set; }

    public IEnumerator<PageMapping> GetEnumerator()
    {
        (TablesRead, TablesMissing, LoopsSkipped, Malformed, BudgetExhausted) = (0, 0, 0, 0, false);
        var levels = _space.Levels;
        var frames = new Frame[levels + 1];
        if (_first > _last || !Enter(frames, levels, _space.DirectoryTableBase, new Frame()))
            yield break;
        for (var level = levels; level <= levels;)
        {
            var frame = frames[level];
            if (frame.Slot == PagingShape.EntriesOf(level, levels) || PagingShape.AddressOf(frame.Base, frame.Slot, level, levels) > _last)
            {
                level++;
                continue;
            }
            var slot = frame.Slot++;
            var entry = frame.Entries[slot];
            if ((entry & PageTableEntry.Present) == 0)
                continue;
            var address = PagingShape.AddressOf(frame.Base, slot, level, levels);
            if (address + ((1UL << PagingShape.ShiftOf(level, levels)) - 1) < _first)
                continue;
            if (PageTableEntry.IsMalformed(entry, level, levels))
            {
                Malformed++;
                continue;
            }
            var counts = PageTableEntry.HasPermissions(level, levels);
            var user = frame.User && (!counts || (entry & PageTableEntry.User) != 0);
            var writable = frame.Writable && (!counts || (entry & PageTableEntry.Writable) != 0);
            var noExecute = frame.NoExecute || (counts && (entry & PageTableEntry.NoExecute) != 0);
            if (PageTableEntry.IsLeaf(entry, level, levels))
            {
                yield return new PageMapping(
                    new VirtualAddress(address), new PhysicalAddress(PageTableEntry.PageOf(entry, level, levels)), 1UL << PagingShape.ShiftOf(level, levels), entry, user, writable, noExecute);
                continue;
            }
            var table = new PhysicalAddress(entry & PageTableEntry.AddressMask);
            if (IsOnTheWay(frames, level, levels, table))
            {
                LoopsSkipped++;
                continue;
            }
            if (Enter(frames, level - 1, table, new Frame { Base = address, User = user, Writable = writable, NoExecute = noExecute }))
                level--;
            else if (BudgetExhausted)
                yield break;
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private static bool IsOnTheWay(Frame[] frames, int level, int levels, PhysicalAddress table)
    {
        for (var i = level; i <= levels; i++)
        {
            if (frames[i].Table == table)
                return true;
        }
        return false;
    }

    private bool Enter(Frame[] frames, int level, PhysicalAddress table, Frame frame)
    {
        if (TablesRead == TableBudget)
        {
            BudgetExhausted = true;
            return false;
        }
        TablesRead++;
        // The table is copied: on a live source it may change under us, and then at least one look at it is all we judge by.
        var entries = frames[level]?.Entries ?? new ulong[PagingShape.EntriesOf(level, _space.Levels)];
        if (!TryReadTable(table, entries))
        {
            TablesMissing++;
            return false;
        }
        frame.Table = table;
        frame.Entries = entries;
        frame.Slot = FirstSlot(frame, level);
        frames[level] = frame;
        return true;
    }

    private bool TryReadTable(PhysicalAddress table, ulong[] entries)
    {
        if (_space.Levels != 2)
            return _space.Memory.TryRead(table, MemoryMarshal.AsBytes(entries.AsSpan()));
        Span<uint> narrow = stackalloc uint[entries.Length];
        if (!_space.Memory.TryRead(table, MemoryMarshal.AsBytes(narrow)))
            return false;
        for (var i = 0; i < narrow.Length; i++)
            entries[i] = narrow[i];
        return true;
    }

    /// <summary>The slot that the lowest wanted address falls into, 0 when the table begins behind it.</summary>
    private int FirstSlot(Frame frame, int level)
    {
        var slot = 0;
        while (slot < PagingShape.EntriesOf(level, _space.Levels) - 1 && PagingShape.AddressOf(frame.Base, slot + 1, level, _space.Levels) <= _first)
            slot++;
        return slot;
    }

    private sealed class Frame
    {
        public PhysicalAddress Table;
        public ulong[] Entries = [];
        public ulong Base;
        public int Slot;
        public bool User = true;
        public bool Writable = true;
        public bool NoExecute;
    }
}
