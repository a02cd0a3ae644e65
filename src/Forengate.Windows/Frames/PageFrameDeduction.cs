using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Finds out of memory how an entry of the page frame database is laid out, where no profile says it. Three things must hold that hold in any Windows: the entry of a page that the kernel maps names
/// the table entry that maps it (<c>PteAddress</c>, as the self-map shows it); pages on a list name each other (<c>u1.Flink</c>, <c>u2.Blink</c>) and are in the same state; pages that are said
/// to be zeroed hold zeros. Exactly one size and one place must fit, or none is believed.
/// </summary>
internal sealed class PageFrameDeduction
{
    /// <summary>Bits of <c>u3.e1.PageLocation</c>.</summary>
    public const int LocationBits = 3;

    /// <summary>Sizes of an entry tried, in bytes: 0x30 in all type tables of x64 kernels from Vista on.</summary>
    private const int SmallestEntry = 0x18, LargestEntry = 0x80;

    /// <summary>Table entries, links and <c>PteAddress</c> are qwords.</summary>
    private const int Word = sizeof(ulong);

    /// <summary>A table entry's address is a multiple of 8; Windows keeps flags in the bits below.</summary>
    private const ulong FlagsOfAddress = Word - 1;

    /// <summary>Page frame numbers have at most 36 bits in entries (type tables from 7601 to 22000); what is above belongs to other fields.</summary>
    private const ulong FrameMask = (1UL << 36) - 1;

    /// <summary>Mapped pages looked at, in all and of each slot of the top table, so that not all are of one region.</summary>
    private const int MaxMapped = 16384, MaxMappedOfSlot = 4096;

    /// <summary>Mapped pages that each size is tried with.</summary>
    private const int Trial = 1024;

    /// <summary>Pages looked at for lists and zeros, evenly over all memory.</summary>
    private const int MaxSampled = 16384;

    /// <summary>Zeroed pages whose bytes are read.</summary>
    private const int MaxZeroed = 1024;

    /// <summary>Page tables looked into: enough for some GiB of the kernel's small pages.</summary>
    private const int MaxTables = 1 << 14;

    /// <summary>Fewer than this many of a kind show nothing.</summary>
    private const int Fewest = 64;

    /// <summary>One in so many may differ: memory of a running guest is torn here and there.</summary>
    private const int Tolerance = 256;

    /// <summary>How far the best size must be ahead of the next.</summary>
    private const int Lead = 16;

    private readonly AddressSpace _space;
    private readonly VirtualAddress _database;
    private readonly ulong _frames;
    private readonly CancellationToken _ct;
    private readonly List<(ulong Frame, ulong Entry)> _mapped = [];

    private PageFrameDeduction(AddressSpace space, VirtualAddress database, CancellationToken ct) =>
        (_space, _database, _frames, _ct) = (space, database, space.Memory.End.Frame, ct);

    /// <summary>Deduces.</summary>
    /// <param name="space">The kernel's address space.</param>
    /// <param name="database">Where the entry of page 0 lies, or would lie.</param>
    /// <param name="why">Where null is returned: what did not fit, in one line.</param>
    /// <param name="ct">Ends it.</param>
    public static PageFrameEntry? Run(AddressSpace space, VirtualAddress database, out string why, CancellationToken ct = default) =>
        new PageFrameDeduction(space, database, ct).Run(out why);

    private PageFrameEntry? Run(out string why)
    {
        if (SelfMap() is not { } slot)
        {
            why = "the System process's page table does not map itself";
            return null;
        }
        FindMapped(slot);
        if (FindSize(out why) is not var (size, pteAddress, confirmed))
            return null;
        var sample = Sample(size, [.. confirmed.Select(static page => page.Frame)]);
        if (FindLinks(size, pteAddress, sample, out why) is not { } links)
            return null;
        return FindLocation(size, pteAddress, confirmed, sample, links, out why);
    }

    /// <summary>The slot of the top table that leads to the table itself: fixed up to 8.1, random from 14393 on.</summary>
    private int? SelfMap()
    {
        Span<byte> table = stackalloc byte[(int)Page.Size];
        if (!_space.Memory.TryRead(_space.DirectoryTableBase.PageStart, table))
            return null;
        for (var slot = PageTableEntry.Count / 2; slot < PageTableEntry.Count; slot++)
        {
            var entry = Qword(table, slot * Word);
            if ((entry & PageTableEntry.Present) != 0 && (entry & PageTableEntry.AddressMask) == _space.DirectoryTableBase.PageStart.Value)
                return slot;
        }
        return null;
    }

    /// <summary>Small pages of the kernel's half, with the address at which the self-map shows the entry of each.</summary>
    private void FindMapped(int slot)
    {
        var bits = Page.Shift + (9 * _space.Levels);
        var topShift = bits - 9;
        var start = (ulong.MaxValue << (bits - 1)) | ((ulong)slot << topShift);
        var perSlot = new int[PageTableEntry.Count];
        foreach (var mapping in _space.Mappings(new VirtualAddress(ulong.MaxValue << (bits - 1)), new VirtualAddress(ulong.MaxValue), MaxTables))
        {
            _ct.ThrowIfCancellationRequested();
            var top = (int)((mapping.Address.Value >> topShift) & (PageTableEntry.Count - 1));
            if (mapping.Size != Page.Size || mapping.Physical.Frame >= _frames || perSlot[top]++ >= MaxMappedOfSlot)
                continue;
            _mapped.Add((mapping.Physical.Frame, start + (((mapping.Address.Value & ((1UL << bits) - 1)) >> Page.Shift) * Word)));
            if (_mapped.Count == MaxMapped)
                return;
        }
    }

    /// <summary>The size of an entry, and where in it PteAddress lies: where the entries of mapped pages name the table entries that map them. Such addresses agree by chance never.</summary>
    private (int Size, int PteAddress, List<(ulong Frame, ulong Entry)> Confirmed)? FindSize(out string why)
    {
        var step = Math.Max(1, _mapped.Count / Trial);
        var (best, second, bestSize, bestAt) = (0, 0, 0, 0);
        Span<byte> buffer = stackalloc byte[LargestEntry];
        Span<int> hits = stackalloc int[LargestEntry / Word];
        for (var size = SmallestEntry; size <= LargestEntry; size += Word)
        {
            hits.Clear();
            for (var i = 0; i < _mapped.Count; i += step)
            {
                if (!TryReadEntry(_mapped[i].Frame, buffer[..size]))
                    continue;
                for (var at = 0; at < size; at += Word)
                {
                    if ((Qword(buffer, at) & ~FlagsOfAddress) == _mapped[i].Entry)
                        hits[at / Word]++;
                }
            }
            for (var at = 0; at < size; at += Word)
            {
                var count = hits[at / Word];
                if (count > best)
                    (second, best, bestSize, bestAt) = (best, count, size, at);
                else
                    second = Math.Max(second, count);
            }
        }
        if (best < Fewest || second > best / Lead)
        {
            why = best < Fewest
                ? $"of {_mapped.Count} pages that the kernel maps, the entries of {best} name the table entry that does"
                : "more than one layout fits the pages that the kernel maps";
            return null;
        }
        var confirmed = new List<(ulong, ulong)>();
        foreach (var page in _mapped)
        {
            if (TryReadEntry(page.Frame, buffer[..bestSize]) && (Qword(buffer, bestAt) & ~FlagsOfAddress) == page.Entry)
                confirmed.Add(page);
        }
        why = "";
        return (bestSize, bestAt, confirmed);
    }

    /// <summary>Entries of other pages, evenly over memory: numbers and bytes. Those of nothing but zeros are of no page.</summary>
    private List<(ulong Frame, byte[] Entry)> Sample(int size, HashSet<ulong> mapped)
    {
        var sample = new List<(ulong, byte[])>();
        var step = Math.Max(1, _frames / MaxSampled);
        var buffer = new byte[size];
        for (var frame = 0UL; frame < _frames; frame += step)
        {
            _ct.ThrowIfCancellationRequested();
            if (!mapped.Contains(frame) && TryReadEntry(frame, buffer) && buffer.AsSpan().ContainsAnyExcept((byte)0))
                sample.Add((frame, buffer.ToArray()));
        }
        return sample;
    }

    /// <summary>Pages that name each other as neighbours in a list.</summary>
    private List<(byte[] Entry, byte[] Next)>? FindLinks(int size, int pteAddress, List<(ulong Frame, byte[] Entry)> sample, out string why)
    {
        var best = new List<(byte[], byte[])>();
        var next = new byte[size];
        for (var forward = 0; forward < size; forward += Word)
        {
            if (forward == pteAddress)
                continue;
            var found = new List<(byte[], byte[])>[size / Word];
            foreach (var (frame, entry) in sample)
            {
                var to = Qword(entry, forward) & FrameMask;
                if (to == 0 || to == frame || to >= _frames || !TryReadEntry(to, next))
                    continue;
                for (var back = 0; back < size; back += Word)
                {
                    if (back != forward && back != pteAddress && (Qword(next, back) & FrameMask) == frame)
                        (found[back / Word] ??= []).Add((entry, next.ToArray()));
                }
            }
            best = found.Append(best).OfType<List<(byte[], byte[])>>().MaxBy(static pairs => pairs.Count)!;
            _ct.ThrowIfCancellationRequested();
        }
        why = best.Count < Fewest ? $"of {sample.Count} pages that the kernel does not map, {best.Count} name a neighbour in a list that names them" : "";
        return best.Count < Fewest ? null : best;
    }

    /// <summary>The three bits that say "in use" of all mapped pages, one and the same other thing of pages linked to each other, and "zeroed" of pages that hold zeros only.</summary>
    private PageFrameEntry? FindLocation(
        int size, int pteAddress, List<(ulong Frame, ulong Entry)> confirmed, List<(ulong Frame, byte[] Entry)> sample, List<(byte[] Entry, byte[] Next)> links, out string why)
    {
        var entries = new List<byte[]>(confirmed.Count);
        foreach (var (frame, _) in confirmed)
        {
            var entry = new byte[size];
            if (TryReadEntry(frame, entry))
                entries.Add(entry);
        }
        var fitting = new List<(int At, int Shift, int Zeroed)>();
        var fewZeroed = false;
        for (var at = 0; at < size; at++)
        {
            if (at >= pteAddress && at < pteAddress + Word)
                continue;
            for (var shift = 0; shift <= 8 - LocationBits; shift++)
            {
                if (!Nearly(entries.Count(entry => LocationIn(entry, at, shift) == PageLocation.Active), entries.Count)
                    || !Nearly(links.Count(link => LocationIn(link.Entry, at, shift) is not PageLocation.Active and var one && one == LocationIn(link.Next, at, shift)), links.Count))
                    continue;
                var (zeroed, zero) = HoldZeros(sample, at, shift);
                if (zeroed < Fewest)
                    fewZeroed = true;
                else if (Nearly(zero, zeroed))
                    fitting.Add((at, shift, zeroed));
            }
        }
        if (fitting.Count != 1)
        {
            why = fitting.Count > 1 ? $"{fitting.Count} places fit for a page's state"
                : fewZeroed ? "there are too few zeroed pages to tell by which bits say so" : "no bits of the entries say of mapped pages that they are in use, and of listed ones what holds";
            return null;
        }
        var (offset, bit, checkedPages) = fitting[0];
        why = "";
        return new PageFrameEntry(
            size, new FieldPlace(offset, bit, LocationBits),
            $"_MMPFN deduced: 0x{size:x} bytes, PteAddress +0x{pteAddress:x} names the table entry of {confirmed.Count} pages that the kernel maps; u3.e1.PageLocation +0x{offset:x} bit {bit}, the only place that "
            + $"says active of these, the same of {links.Count} pages and their neighbours in lists, and zeroed of {checkedPages} pages that hold zeros");
    }

    /// <summary>How many pages that place says are zeroed, as far as they are looked at, and how many of these hold zeros.</summary>
    private (int Zeroed, int Zero) HoldZeros(List<(ulong Frame, byte[] Entry)> sample, int at, int shift)
    {
        var (zeroed, zero) = (0, 0);
        Span<byte> page = stackalloc byte[(int)Page.Size];
        foreach (var (frame, entry) in sample)
        {
            if (LocationIn(entry, at, shift) != PageLocation.Zeroed || !_space.Memory.TryRead(PhysicalAddress.FromFrame(frame), page))
                continue;
            zero += page.ContainsAnyExcept((byte)0) ? 0 : 1;
            if (++zeroed == MaxZeroed)
                break;
        }
        return (zeroed, zero);
    }

    private static bool Nearly(int count, int all) => all - count <= all / Tolerance;

    private static PageLocation LocationIn(byte[] entry, int at, int shift) => (PageLocation)((entry[at] >> shift) & ((1 << LocationBits) - 1));

    private bool TryReadEntry(ulong frame, Span<byte> entry)
    {
        var at = _database + (frame * (ulong)entry.Length);
        return at >= _database && _space.TryRead(at, entry);
    }

    private static ulong Qword(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]);
}
