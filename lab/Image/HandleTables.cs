using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>
/// Handle tables: one page of 256 entries, or a page of pointers to such pages when ids go further. Up to 7 an entry is an object pointer whose low bit is the lock; from 8 on it is 44 pointer bits
/// behind 20 bits of lock and count (<c>_HANDLE_TABLE_ENTRY</c> of the tables).
/// </summary>
internal sealed class HandleTables(KernelTables tables, AddressSpace space, KernelPool pool)
{
    private const int EntriesPerPage = 256;
    private readonly List<ulong> _links = [];

    /// <summary>A table without handles yet, as a fresh process has it.</summary>
    public ulong Empty(ulong eprocess, uint pid, bool withPage)
    {
        var at = Write(eprocess, pid, withPage ? pool.AllocatePages(GuestRam.PageSize) : 0, 0);
        return at;
    }

    /// <summary>PspCidTable: process and thread ids to objects. Returns where each id's entry lies.</summary>
    public (ulong Table, IReadOnlyDictionary<uint, ulong> Entries) Ids(IReadOnlyDictionary<uint, ulong> objects, IReadOnlySet<uint> empty)
    {
        var last = objects.Keys.Max() / 4 / EntriesPerPage;
        var middle = pool.AllocatePages(GuestRam.PageSize);
        var entries = new Dictionary<uint, ulong>();
        var pages = new Dictionary<uint, ulong>();
        for (uint page = 0; page <= last && page < 512; page++)
        {
            pages[page] = pool.AllocatePages(GuestRam.PageSize);
            space.WriteU64(middle + page * 8, pages[page]);
        }
        foreach (var (id, at) in objects.OrderBy(o => o.Key))
        {
            if (!pages.TryGetValue(id / 4 / EntriesPerPage, out var page))
                continue;
            entries[id] = page + id / 4 % EntriesPerPage * 16;
            if (!empty.Contains(id))
                space.WriteU64(entries[id], EntryValue(at));
        }
        // The low bits of TableCode are the number of levels above the entries.
        return (Write(0, 0, middle | 1, (uint)objects.Count), entries);
    }

    public ulong EntryValue(ulong address) => tables.HasField("_HANDLE_TABLE_ENTRY", "ObjectPointerBits") ? address >> 4 << 20 | 1 : address | 1;

    /// <summary>Links all tables into HandleTableListHead.</summary>
    public void Link(ulong head) => LinkedRing.Write(space, head, _links);

    private ulong Write(ulong eprocess, uint pid, ulong code, uint count)
    {
        var table = new StructWriter(tables, "_HANDLE_TABLE", pool.Allocate("Obtb", tables.SizeOf("_HANDLE_TABLE")));
        table.Set("TableCode", code).Set("QuotaProcess", eprocess).Set("UniqueProcessId", pid).Set("NextHandleNeedingPool", EntriesPerPage * 4);
        table.SetWhere("HandleCount", count).EmptyList("HandleTableList");
        table.Store(space);
        if (eprocess != 0)
            _links.Add(table.AddressOf("HandleTableList"));
        return table.Address;
    }
}
