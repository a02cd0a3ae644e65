namespace Forengate.Lab.Image;

/// <summary>
/// Which page of RAM is used for what, learned from the finished page tables: one walk over the system's table and over the user half of each process's.
/// </summary>
internal sealed class PageUse
{
    private const ulong EntryPrototype = 1 << 10, EntryTransition = 1 << 11;
    private const byte Unseen = 0x80;
    private readonly GuestRam _ram;
    private readonly KernelLayout _layout;
    private readonly int _levels;
    private readonly byte[] _states;
    private readonly ulong[] _entries;
    private readonly uint[] _tables;
    private readonly ushort[] _shares;

    public PageUse(GuestRam ram, KernelLayout layout, int levels)
    {
        (_ram, _layout, _levels) = (ram, layout, levels);
        var pages = ram.Size / GuestRam.PageSize;
        _states = new byte[pages];
        Array.Fill(_states, Unseen);
        _entries = new ulong[pages];
        _tables = new uint[pages];
        _shares = new ushort[pages];
    }

    public bool IsSeen(ulong page) => _states[Index(page)] != Unseen;

    /// <summary>State of a page by its number; meaningless before <see cref="IsSeen"/> or <see cref="Set"/>.</summary>
    public byte State(ulong page) => _states[Index(page)];

    public void Set(ulong page, byte state, ulong entry, ulong table)
    {
        var at = Index(page);
        (_states[at], _entries[at], _tables[at]) = (state, entry, (uint)table);
    }

    /// <summary>Gives a page that was not seen a state.</summary>
    public void Set(ulong page, byte state) => _states[Index(page)] = state;

    /// <summary>Address of the entry that maps a page (_MMPFN.PteAddress), number of the page that entry lies in (PteFrame), and how often the page is mapped or, of a table, how many entries are in use.</summary>
    public (ulong Entry, ulong Table, int Shares) Of(ulong page)
    {
        var at = Index(page);
        return (_entries[at], _tables[at], _shares[at]);
    }

    public void WalkSystem(ulong root)
    {
        NoteRoot(root);
        Walk(root, _levels - 1, 256, 512, 0);
        Walk(root, _levels - 1, 0, 256, 0);
    }

    /// <summary>Only what the process has for itself: its top-level table and its user half.</summary>
    public void WalkProcess(ulong root)
    {
        NoteRoot(root);
        Walk(root, _levels - 1, 0, 256, 0);
    }

    private void NoteRoot(ulong root) => Set(root / GuestRam.PageSize, PageState.Active | PageState.Table, _layout.TopTable + (ulong)_layout.SelfMap * 8, root / GuestRam.PageSize);

    private void Walk(ulong table, int level, int first, int end, ulong start)
    {
        var shift = 12 + 9 * level;
        for (var slot = first; slot < end; slot++)
        {
            var entry = _ram.ReadU64(table + (ulong)slot * 8);
            if (entry == 0 || level == _levels - 1 && slot == _layout.SelfMap)
                continue;
            var va = start | (ulong)slot << shift;
            var pa = entry & Pte.AddressMask;
            if ((entry & Pte.Valid) == 0)
            {
                if (level == 0 && (entry & EntryTransition) != 0 && (entry & EntryPrototype) == 0 && _ram.Contains(pa, GuestRam.PageSize))
                    NoteLeaf(pa, IsUser(va) ? (byte)(PageState.Modified | PageState.User) : PageState.Standby, va, 0, table);
            }
            else if (level == 0 || (entry & Pte.Large) != 0)
            {
                for (var at = 0UL; at < 1UL << shift; at += GuestRam.PageSize)
                    NoteLeaf(pa + at, (byte)(PageState.Active | (level > 0 ? PageState.Large : 0) | (IsUser(va) ? PageState.User : 0)), va, level, table);
            }
            else if (!IsSeen(pa / GuestRam.PageSize))
            {
                Set(pa / GuestRam.PageSize, PageState.Active | PageState.Table, EntryAddress(va, level), table / GuestRam.PageSize);
                Walk(pa, level - 1, 0, 512, va);
            }
            _shares[Index(table / GuestRam.PageSize)]++;
        }
    }

    private void NoteLeaf(ulong pa, byte state, ulong va, int level, ulong table)
    {
        // Device registers are no RAM.
        if (!_ram.Contains(pa, GuestRam.PageSize))
            return;
        var page = pa / GuestRam.PageSize;
        if (!IsSeen(page))
            Set(page, state, EntryAddress(va, level), table / GuestRam.PageSize);
        _shares[Index(page)]++;
    }

    /// <summary>Where the self-map shows the entry for an address at a level: the entry of the entry's own address for each level up.</summary>
    private ulong EntryAddress(ulong va, int level)
    {
        var mask = (1UL << 12 + 9 * _levels) - 1;
        for (; level >= 0; level--)
            va = _layout.PteBase + ((va & mask) >> 12) * 8;
        return va;
    }

    private bool IsUser(ulong va) => (va >> 11 + 9 * _levels & 1) == 0;

    private int Index(ulong page) => _ram.PageIndex(page * GuestRam.PageSize);
}
