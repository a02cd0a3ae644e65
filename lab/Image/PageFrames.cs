using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>What the page-frame database is made from, when all else is there.</summary>
internal sealed record PageFrameParts(
    TwinOptions Options, KernelTables Tables, AddressSpace System, KernelLayout Layout, KernelImage Kernel, KernelPool Pool, IReadOnlyList<PhysicalRun> Runs, IEnumerable<ulong> Roots, ulong Database);

/// <summary>
/// MmPfnDatabase: an entry for each page of Windows' memory. Pages that page tables lead to are in use, the others get what the options ask for: free ones with stale content, standby and modified ones of files,
/// a few in transition or bad, and zeroed ones.
/// </summary>
internal sealed class PageFrames
{
    private const int PagesInTransition = 4, BadPages = 2;
    private const ulong NoPage = ulong.MaxValue;
    private const ulong FirstContentPage = 0x100;
    // Software PTEs (_MMPTE_SOFTWARE, _MMPTE_SUBSECTION): protection from bit 5, here MM_READWRITE; prototype bit 10.
    private const ulong DemandZero = 4 << 5, Prototype = 1 << 10;
    private readonly PageFrameParts _parts;
    private readonly GuestRam _ram;
    private readonly PageUse _use;
    private readonly SeededRandom _random;
    private readonly Dictionary<ulong, (ulong Flink, ulong Blink)> _links = [];
    private readonly HashSet<ulong> _ofFiles = [];
    private readonly List<ulong>[] _lists = [.. Enumerable.Range(0, 8).Select(_ => new List<ulong>())];
    private ulong _subsection;

    private PageFrames(PageFrameParts parts)
    {
        _parts = parts;
        _ram = parts.System.Memory.Ram;
        _use = new PageUse(_ram, parts.Layout, parts.Options.Levels);
        _random = new SeededRandom(parts.Options.Seed ^ 0x9F4A3E5);
    }

    /// <summary>The state of each page from guest-physical 0 to the highest, as <c>pfn.bin</c> has it.</summary>
    public byte[] States { get; private set; } = [];

    public int EntrySize { get; private set; }

    /// <exception cref="ImageException">There are not as many pages as were asked for.</exception>
    public static PageFrames Write(PageFrameParts parts)
    {
        var frames = new PageFrames(parts);
        frames.Build();
        return frames;
    }

    private void Build()
    {
        var options = _parts.Options;
        var files = options.StandbyPages + options.ModifiedPages + PagesInTransition;
        // Prototype PTEs of mapped files, and the subsection they belong to. Taken before the tables are walked, because this may add to them.
        var prototypes = _parts.Pool.AllocatePages(files * 8);
        _subsection = _parts.Pool.Allocate("MmCa", 0x80);
        _use.WalkSystem(_parts.System.Root);
        foreach (var root in _parts.Roots)
            _use.WalkProcess(root);

        var rest = new List<ulong>();
        foreach (var page in Pages())
        {
            if (_use.IsSeen(page))
                continue;
            if (_ram.IsWritten(page * GuestRam.PageSize))
                _use.Set(page, PageState.Active | PageState.Unmapped);
            else
                rest.Add(page);
        }
        var withContent = options.FreePages + files + BadPages;
        var chosen = rest.Where(p => p >= FirstContentPage).Take(withContent).ToArray();
        if (chosen.Length < withContent)
            throw new ImageException($"{withContent} free, standby and modified pages are asked for, {chosen.Length} are left: give the guest more memory");
        _random.Shuffle<ulong>(chosen);
        var next = 0;
        void Give(int count, byte state, ReadOnlySpan<byte> mark)
        {
            for (var i = 0; i < count; i++, next++)
            {
                if (state is PageState.Free or PageState.Bad)
                    _use.Set(chosen[next], state);
                else
                    GiveToFile(chosen[next], state, prototypes + (ulong)_ofFiles.Count * 8);
                if (state != PageState.Bad)
                    WriteContent(chosen[next], mark);
            }
        }
        Give(options.FreePages, PageState.Free, "twin: free page "u8);
        Give(options.StandbyPages, PageState.Standby, "twin: standby pg "u8);
        Give(options.ModifiedPages, PageState.Modified, "twin: modified  "u8);
        Give(PagesInTransition, PageState.Transition, "twin: transition"u8);
        Give(BadPages, PageState.Bad, []);
        var zeroed = 0;
        foreach (var page in rest)
        {
            if (!_use.IsSeen(page))
                _use.Set(page, zeroed++ < (options.ZeroedPages ?? int.MaxValue) ? PageState.Zeroed : (byte)(PageState.Active | PageState.Unmapped));
        }

        Link();
        WriteEntries();
        WriteHeads();
    }

    private void GiveToFile(ulong page, byte state, ulong prototype)
    {
        _parts.System.WriteU64(prototype, Pte.Transition(page * GuestRam.PageSize));
        _use.Set(page, state, prototype, _parts.System.Translate(prototype) / GuestRam.PageSize);
        _ofFiles.Add(page);
    }

    /// <summary>A mark of 16 bytes that says what the page is, its number, then seeded data.</summary>
    private void WriteContent(ulong page, ReadOnlySpan<byte> mark)
    {
        var bytes = _ram.Writable(page * GuestRam.PageSize, GuestRam.PageSize);
        mark.CopyTo(bytes);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[16..], page);
        _random.Fill(bytes[24..]);
    }

    /// <summary>Strings the pages of each list together: zeroed ones in their order, the others by chance. Pages in transition are in none.</summary>
    private void Link()
    {
        foreach (var page in Pages())
        {
            if ((_use.State(page) & PageState.LocationMask) is var location and not (PageState.Active or PageState.Transition))
                _lists[location].Add(page);
        }
        foreach (var list in _lists.Skip(PageState.Zeroed + 1))
        {
            _random.Shuffle(CollectionsMarshal.AsSpan(list));
            for (var i = 0; i < list.Count; i++)
                _links[list[i]] = (i + 1 < list.Count ? list[i + 1] : NoPage, i > 0 ? list[i - 1] : NoPage);
        }
    }

    private void WriteEntries()
    {
        var entry = new PfnEntry(_parts.Tables);
        EntrySize = entry.Size;
        var last = _parts.Runs[^1];
        States = new byte[last.FirstPage + last.Pages];
        Array.Fill(States, PageState.None);
        var before = NoPage;
        var nextZeroed = 0;
        foreach (var run in _parts.Runs)
        {
            var bytes = new byte[run.Pages * (ulong)entry.Size];
            for (var page = run.FirstPage; page < run.FirstPage + run.Pages; page++)
            {
                var at = bytes.AsSpan((int)(page - run.FirstPage) * entry.Size, entry.Size);
                var state = States[page] = _use.State(page);
                if (state == PageState.Zeroed)
                {
                    nextZeroed++;
                    entry.Listed(at, PageState.Zeroed, nextZeroed < _lists[PageState.Zeroed].Count ? _lists[PageState.Zeroed][nextZeroed] : NoPage, before);
                    before = page;
                    continue;
                }
                var (pte, frame, shares) = _use.Of(page);
                var location = (byte)(state & PageState.LocationMask);
                if (location == PageState.Active)
                {
                    entry.Active(at, shares, (state & (PageState.Table | PageState.Unmapped)) != 0 || IsDirty(page, state));
                    entry.Belongs(at, pte, frame, DemandZero, prototype: false);
                    continue;
                }
                var links = location == PageState.Transition ? (Flink: NoPage, Blink: NoPage) : _links[page];
                entry.Listed(at, location, links.Flink, links.Blink);
                if (_ofFiles.Contains(page))
                    entry.Belongs(at, pte, frame, _subsection << 16 | Prototype, prototype: true);
                else if (pte != 0)
                    entry.Belongs(at, pte, frame, DemandZero, prototype: false);
            }
            _parts.System.Write(_parts.Database + run.FirstPage * (ulong)entry.Size, bytes);
        }
    }

    /// <summary>Whether the entry that maps a page says that it was written to.</summary>
    private bool IsDirty(ulong page, byte state)
    {
        var (pte, frame, _) = _use.Of(page);
        return (state & PageState.Large) == 0 && (_ram.ReadU64(frame * GuestRam.PageSize + (pte & 0xFF8)) & Pte.Dirty) != 0;
    }

    /// <summary>The lists' heads, which are globals up to 8.1; later ones lie in MiSystemPartition, which the twin has not.</summary>
    private void WriteHeads()
    {
        foreach (var (symbol, location) in new[]
            { ("MmZeroedPageListHead", PageState.Zeroed), ("MmFreePageListHead", PageState.Free), ("MmStandbyPageListHead", PageState.Standby), ("MmModifiedPageListHead", PageState.Modified) })
        {
            if (!_parts.Kernel.Has(symbol))
                continue;
            var list = _lists[location];
            var head = new StructWriter(_parts.Tables, "_MMPFNLIST", _parts.Kernel.AddressOf(symbol));
            head.Set("Total", (ulong)list.Count).Set("ListName", location).Set("Flink", list.Count > 0 ? list[0] : NoPage).Set("Blink", list.Count > 0 ? list[^1] : NoPage);
            head.Store(_parts.System);
        }
        _parts.Kernel.SetU64("MmAvailablePages", (ulong)(_lists[PageState.Zeroed].Count + _lists[PageState.Free].Count + _lists[PageState.Standby].Count), optional: true);
    }

    private IEnumerable<ulong> Pages()
    {
        foreach (var run in _parts.Runs)
        {
            for (var page = run.FirstPage; page < run.FirstPage + run.Pages; page++)
                yield return page;
        }
    }
}
