using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// Where the kernel half of an address space maps images: a bounded walk over its tables, for searches that know no address. Tables met twice on one level are walked once;
/// the number of tables read is limited, so that tables made to lead everywhere cost no more than honest ones.
/// </summary>
internal sealed class MappedImages(AddressSpace space, WindowsLimits limits, SearchBudget? budget = null)
{
    private const ulong FirstKernelSlot = 256;

    /// <summary>The slot of the top table in which the images of all public x64 Windows versions lie: 0xFFFFF800'00000000 to 0xFFFFF87F'FFFFFFFF.</summary>
    private const ulong ImageSlot = 0x1F0;

    private readonly ulong[][] _tables = [new ulong[512], new ulong[512], new ulong[512], new ulong[512], new ulong[512], new ulong[512]];
    private readonly HashSet<(int Level, ulong Table)> _seen = [];
    private int _left = limits.PageTables;

    /// <summary>True when the bound on tables ended the walk.</summary>
    public bool StoppedEarly => _left <= 0;

    /// <summary>Calls <paramref name="visit"/> for every mapping of the kernel's half (address, frame address, size) until it returns true.</summary>
    /// <returns>True where the visitor did.</returns>
    public bool Walk(Func<VirtualAddress, PhysicalAddress, ulong, bool> visit, CancellationToken ct)
    {
        if (!TryReadTable(space.DirectoryTableBase.Value, space.Levels))
            return false;
        var top = (ulong[])_tables[space.Levels].Clone();
        if (space.Levels == 4 && WalkSlot(top, ImageSlot, visit, ct))
            return true;
        for (var slot = FirstKernelSlot; slot < PageTableEntry.Count; slot++)
        {
            if ((space.Levels != 4 || slot != ImageSlot) && WalkSlot(top, slot, visit, ct))
                return true;
        }
        return false;
    }

    private bool WalkSlot(ulong[] top, ulong slot, Func<VirtualAddress, PhysicalAddress, ulong, bool> visit, CancellationToken ct)
    {
        var entry = top[slot];
        var table = entry & PageTableEntry.AddressMask;

        // The self-map shows the tables as pages; there is no image behind it.
        if ((entry & PageTableEntry.Present) == 0 || (entry & PageTableEntry.LargePage) != 0 || table == space.DirectoryTableBase.Value)
            return false;
        var shift = Page.Shift + (9 * (space.Levels - 1));
        var sign = ulong.MaxValue << (shift + 9);
        return WalkTable(table, space.Levels - 1, sign | (slot << shift), visit, ct);
    }

    private bool WalkTable(ulong table, int level, ulong address, Func<VirtualAddress, PhysicalAddress, ulong, bool> visit, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        if (_left-- <= 0 || !_seen.Add((level, table)) || budget?.TakeTable() == false || !TryReadTable(table, level))
            return false;
        var entries = _tables[level];
        var span = 1UL << (Page.Shift + (9 * (level - 1)));
        for (var slot = 0UL; slot < PageTableEntry.Count; slot++)
        {
            var entry = entries[slot];
            if ((entry & PageTableEntry.Present) == 0)
                continue;
            var at = address + (slot * span);
            var isPage = level == 1 || (level <= 3 && (entry & PageTableEntry.LargePage) != 0);
            if (isPage
                ? visit(new VirtualAddress(at), new PhysicalAddress(entry & PageTableEntry.AddressMask & ~(span - 1)), span)
                : WalkTable(entry & PageTableEntry.AddressMask, level - 1, at, visit, ct))
                return true;
        }
        return false;
    }

    private bool TryReadTable(ulong table, int level) =>
        space.Memory.TryRead(new PhysicalAddress(table), MemoryMarshal.AsBytes(_tables[level].AsSpan()));
}
