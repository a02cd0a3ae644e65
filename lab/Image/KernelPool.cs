using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// Nonpaged pool: blocks with <c>_POOL_HEADER</c> from one growing area, its first part mapped with large pages as Windows' initial nonpaged pool is. A block of less than a page
/// never crosses one, as in the pool up to 17763; bigger ones take whole pages without a header.
/// </summary>
internal sealed class KernelPool
{
    private const int HeaderSize = 0x10;
    private const int Unit = 0x10;
    private const int LargestBlock = 0xFF0;
    private readonly KernelTables _tables;
    private readonly AddressSpace _space;
    private readonly ulong _largeEnd;
    private ulong _next;
    private ulong _mapped;

    public KernelPool(KernelTables tables, AddressSpace space, ulong start, int largePages)
    {
        _tables = tables;
        _space = space;
        Start = start;
        _next = start;
        for (var i = 0; i < largePages; i++)
            space.Tables.MapLarge(space.Root, start + (ulong)i * 0x200000, space.Memory.AllocateLarge(), Pte.KernelData);
        _largeEnd = _mapped = start + (ulong)largePages * 0x200000;
    }

    public ulong Start { get; }
    public ulong End => _mapped;

    /// <summary>A block of pool; returns its address behind the header.</summary>
    public ulong Allocate(string tag, int size)
    {
        var whole = (size + HeaderSize + Unit - 1) & ~(Unit - 1);
        if (whole > LargestBlock)
            return AllocatePages(size);
        var room = GuestRam.PageSize - (int)(_next & 0xFFF);
        if (room < whole)
        {
            if (room >= Unit)
                Header("Free", _next, room, free: true);
            _next += (ulong)room;
        }
        var at = _next;
        _next += (ulong)whole;
        Back();
        Header(tag, at, whole, free: false);
        return at + HeaderSize;
    }

    /// <summary>Whole pages without a header, as for anything that does not fit into one page.</summary>
    public ulong AllocatePages(int size)
    {
        if ((_next & 0xFFF) != 0)
        {
            Header("Free", _next, GuestRam.PageSize - (int)(_next & 0xFFF), free: true);
            _next = (_next + 0xFFF) & ~0xFFFUL;
        }
        var at = _next;
        _next += ((ulong)size + 0xFFF) & ~0xFFFUL;
        Back();
        return at;
    }

    /// <summary>A UTF-16 text in a block of its own, with a terminating zero.</summary>
    public ulong AllocateText(string tag, string text)
    {
        var at = Allocate(tag, text.Length * 2 + 2);
        _space.Write(at, System.Text.Encoding.Unicode.GetBytes(text));
        return at;
    }

    private void Back()
    {
        for (; _mapped < _next; _mapped += GuestRam.PageSize)
            _space.Map(_mapped, _space.Memory.AllocatePage(), Pte.KernelData);
    }

    private void Header(string tag, ulong at, int size, bool free)
    {
        // Pool types: 0 nonpaged, odd paged; a used block carries the type plus 2, a free one 0 (ReactOS ex/pool.c, Windows Internals).
        var header = new StructWriter(_tables, "_POOL_HEADER", at);
        header.Set("BlockSize", (ulong)(size / Unit));
        header.Set("PoolType", free ? 0UL : 2UL);
        header.Set("PoolTag", (uint)(tag[0] | tag[1] << 8 | tag[2] << 16 | tag[3] << 24));
        header.Store(_space);
    }
}
