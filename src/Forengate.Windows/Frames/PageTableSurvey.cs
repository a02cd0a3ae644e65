using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// Which pages page tables lead to, apart by half of the address space: the pages of tables themselves, what the kernel's half maps, what user halves map. Pages in transition count as mapped:
/// Windows takes them back without reading anything. Every table is looked at once for each level and half, so that loops and forests of shared tables end by themselves.
/// </summary>
public sealed class PageTableSurvey
{
    private const int TopLevelFewest = 4;

    /// <summary>Bits of an address that one level of tables takes.</summary>
    private const int BitsOfTable = 9;

    /// <summary>Above every page frame number (52 bits of address).</summary>
    private const int LevelShift = 56;

    private readonly WindowsAddressSpace _space;
    private readonly PageSet[] _seenKernel;
    private readonly PageSet[] _seenUser;
    private readonly byte[][] _tables;
    private readonly CancellationToken _cancellation;
    private readonly HashSet<ulong> _largeKernel;
    private readonly HashSet<ulong> _largeUser;
    private bool _inKernel;
    private PageSet? _leaves;
    private PageSet? _user;

    /// <param name="memory">The view's memory.</param>
    /// <param name="levels">Paging levels, 4 or 5.</param>
    /// <param name="ct">Ends a walk by an <see cref="OperationCanceledException"/>.</param>
    public PageTableSurvey(PhysicalMemory memory, int levels, CancellationToken ct = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(levels, TopLevelFewest);
        Frames = memory.End.Frame;
        _space = new WindowsAddressSpace(memory, 0, levels);
        _cancellation = ct;
        Tables = new PageSet(Frames);
        Kernel = new PageSet(Frames);
        (_seenKernel, _seenUser) = (MakeSeen(), MakeSeen());
        (_largeKernel, _largeUser) = ([], []);
        _tables = new byte[levels + 1][];
        for (var level = 1; level <= levels; level++)
            _tables[level] = new byte[Page.Size];

        PageSet[] MakeSeen()
        {
            var seen = new PageSet[levels];
            for (var level = 1; level < levels; level++)
                seen[level] = new PageSet(Frames);
            return seen;
        }
    }

    /// <summary>One past the highest page frame number of the memory.</summary>
    public ulong Frames { get; }

    /// <summary>Pages of page tables, whoever's.</summary>
    public PageSet Tables { get; }

    /// <summary>Pages that the kernel's half of a table maps.</summary>
    public PageSet Kernel { get; }

    /// <summary>Walks one table, both halves.</summary>
    /// <param name="root">Its top table; PCID and flags are masked off.</param>
    /// <param name="user">
    /// Gets the pages that its user half maps; null: only its tables are wanted. Tables that one set has seen are not looked at again for it: give the tables of one set one after the other.
    /// </param>
    public void Add(ulong root, PageSet? user = null)
    {
        if (user != _user)
        {
            for (var level = 1; level < _seenUser.Length; level++)
                _seenUser[level] = new PageSet(Frames);
            _largeUser.Clear();
            _user = user;
        }
        const int Half = PageTableEntry.Count / 2;
        var frame = (root & PageTableEntry.AddressMask) >> Page.Shift;
        var table = _tables[_space.Levels];
        if (!_space.Memory.TryRead(PhysicalAddress.FromFrame(frame), table))
            return;
        Tables.Add(frame);
        (_inKernel, _leaves) = (false, user);
        Walk(table, _space.Levels, 0, Half);
        (_inKernel, _leaves) = (true, Kernel);
        Walk(table, _space.Levels, Half, PageTableEntry.Count);
    }

    private void Walk(byte[] table, int level, int first, int end)
    {
        for (var slot = first; slot < end; slot++)
        {
            var entry = BinaryPrimitives.ReadUInt64LittleEndian(table.AsSpan(slot * sizeof(ulong)));
            if (entry == 0)
                continue;
            if ((entry & PageTableEntry.Present) == 0)
            {
                if (level == 1 && _space.PageInTransition(entry) is { } page)
                    _leaves?.Add(page.Frame);
                continue;
            }
            if (PageTableEntry.IsMalformed(entry, level, _space.Levels))
                continue;
            if (PageTableEntry.IsLeaf(entry, level, _space.Levels))
            {
                AddLeaf(PageTableEntry.PageOf(entry, level, _space.Levels) >> Page.Shift, level);
                continue;
            }
            Enter((entry & PageTableEntry.AddressMask) >> Page.Shift, level - 1);
        }
    }

    private void AddLeaf(ulong frame, int level)
    {
        if (frame >= Frames || _leaves is null)
            return;
        if (level == 1)
            _leaves.Add(frame);
        else if ((_inKernel ? _largeKernel : _largeUser).Add(frame | ((ulong)level << LevelShift)))
            _leaves.Add(frame, 1UL << (BitsOfTable * (level - 1)));
    }

    private void Enter(ulong frame, int level)
    {
        if (!(_inKernel ? _seenKernel : _seenUser)[level].Add(frame))
            return;
        _cancellation.ThrowIfCancellationRequested();
        if (!_space.Memory.TryRead(PhysicalAddress.FromFrame(frame), _tables[level]))
            return;
        Tables.Add(frame);
        Walk(_tables[level], level, 0, PageTableEntry.Count);
    }
}
