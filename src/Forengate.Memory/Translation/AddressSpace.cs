using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// A virtual address space: x86 page tables (32-bit, PAE, four or five levels; large pages) over guest-physical memory. Reads stop at the first page that leads nowhere.
/// </summary>
/// <remarks>Safe for concurrent use. A subclass may give bytes to pages that are not valid for the CPU but still in memory (Windows' transition pages).</remarks>
public partial class AddressSpace
{
    /// <param name="memory">The view's memory; not owned.</param>
    /// <param name="directoryTableBase">CR3 or a stored DTB; PCID and flag bits (0 to 11, 63) are masked off.</param>
    /// <param name="levels">4, or 5 with CR4.LA57; 2 for 32-bit paging, 3 for PAE.</param>
    public AddressSpace(PhysicalMemory memory, ulong directoryTableBase, int levels = 4)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(levels, PagingShape.Least);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(levels, PagingShape.Most);
        Memory = memory;
        DirectoryTableBase = new PhysicalAddress(PagingShape.TableBase(directoryTableBase, levels));
        Levels = levels;
    }

    public PhysicalMemory Memory { get; }

    /// <summary>Physical address of the top table, without PCID and flags.</summary>
    public PhysicalAddress DirectoryTableBase { get; }

    public int Levels { get; }

    /// <summary>Walks the tables for one address.</summary>
    public Translation Translate(VirtualAddress address)
    {
        if (!address.IsCanonical(Levels))
            return new Translation(TranslationFault.NotCanonical, default, Page.Size, 0, 0, false, false, false);

        var walk = new Walk(DirectoryTableBase);
        for (var level = Levels; ; level--)
        {
            if (!TryReadEntry(walk.Table + PagingShape.EntryOffset(address, level, Levels), out var entry))
                return TableMissing(walk.Table, level);
            if (Step(address, level, entry, ref walk, out var result))
                return result;
        }
    }

    /// <summary>The present pages from <paramref name="first"/> to <paramref name="last"/>, in ascending order. Bounded and safe on hostile tables; see <see cref="MappingWalk"/>.</summary>
    /// <param name="first">Lowest address wanted.</param>
    /// <param name="last">Highest address wanted, included.</param>
    /// <param name="tableBudget">Most tables looked into.</param>
    public MappingWalk Mappings(VirtualAddress first, VirtualAddress last, int tableBudget = MappingWalk.DefaultTableBudget) => new(this, first, last, tableBudget);

    /// <summary>Copies bytes from <paramref name="address"/> on and stops at the first page that leads nowhere.</summary>
    /// <returns>Bytes copied.</returns>
    public int Read(VirtualAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = address + (ulong)done;
            var translation = Translate(here);
            if (!translation.Ok)
                break;
            var left = translation.PageSize - (here.Value & (translation.PageSize - 1));
            var wanted = (int)Math.Min(left, (ulong)(destination.Length - done));
            var got = Memory.Read(translation.Address, destination.Slice(done, wanted));
            done += got;
            if (got < wanted || here.Value + left < here.Value)
                break;
        }
        return done;
    }

    /// <summary>Fills all of <paramref name="destination"/> or fails.</summary>
    public bool TryRead(VirtualAddress address, Span<byte> destination) => Read(address, destination) == destination.Length;

    /// <summary>Reads one little-endian value of fixed size.</summary>
    public bool TryRead<T>(VirtualAddress address, out T value)
        where T : unmanaged
    {
        value = default;
        return TryRead(address, MemoryMarshal.AsBytes(new Span<T>(ref value)));
    }

    /// <summary>Reads a pointer-sized value as an address.</summary>
    public bool TryReadPointer(VirtualAddress address, out VirtualAddress value)
    {
        var ok = TryRead(address, out ulong raw);
        value = new VirtualAddress(raw);
        return ok;
    }

    /// <summary>Called for an entry whose present bit is clear.</summary>
    /// <param name="address">The address being translated.</param>
    /// <param name="level">1 = PTE … 5.</param>
    /// <param name="entry">The raw entry.</param>
    /// <param name="page">Start of the page (of this level's size) that holds the bytes after all.</param>
    protected virtual bool TryResolveNotPresent(VirtualAddress address, int level, ulong entry, out PhysicalAddress page)
    {
        page = default;
        return false;
    }

    private Translation TableMissing(PhysicalAddress table, int level) =>
        new(TranslationFault.TableMissing, table, 1UL << PagingShape.ShiftOf(level, Levels), level, 0, false, false, false);

    private bool TryReadEntry(PhysicalAddress at, out ulong entry)
    {
        if (Levels != 2)
            return Memory.TryRead(at, out entry);
        var ok = Memory.TryRead(at, out uint narrow);
        entry = narrow;
        return ok;
    }

    /// <summary>An entry in bytes that hold it whole.</summary>
    private ulong EntryIn(ReadOnlySpan<byte> bytes) => Levels == 2 ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : BinaryPrimitives.ReadUInt64LittleEndian(bytes);

    /// <summary>Follows one entry.</summary>
    /// <returns>True when the walk ends with it, in <paramref name="result"/>; false when it goes on in the next lower table.</returns>
    private bool Step(VirtualAddress address, int level, ulong entry, ref Walk walk, out Translation result)
    {
        var span = 1UL << PagingShape.ShiftOf(level, Levels);
        result = default;
        if ((entry & PageTableEntry.Present) == 0)
        {
            result = TryResolveNotPresent(address, level, entry, out var resolved)
                ? new Translation(TranslationFault.None, resolved + (address.Value & (span - 1)), span, level, entry, walk.User, walk.Writable, walk.NoExecute)
                : new Translation(TranslationFault.NotPresent, default, span, level, entry, false, false, false);
            return true;
        }

        if (PageTableEntry.IsMalformed(entry, level, Levels))
        {
            result = new Translation(TranslationFault.Malformed, default, span, level, entry, false, false, false);
            return true;
        }
        if (PageTableEntry.HasPermissions(level, Levels))
            walk.Add(entry);
        if (PageTableEntry.IsLeaf(entry, level, Levels))
        {
            var start = PageTableEntry.PageOf(entry, level, Levels);
            result = new Translation(
                TranslationFault.None, new PhysicalAddress(start | (address.Value & (span - 1))), span, level, entry, walk.User, walk.Writable, walk.NoExecute);
            return true;
        }
        walk.Table = new PhysicalAddress(entry & PageTableEntry.AddressMask);
        return false;
    }

    /// <summary>Where a walk stands, and what all levels so far allow.</summary>
    private struct Walk(PhysicalAddress table)
    {
        public PhysicalAddress Table = table;
        public bool User = true;
        public bool Writable = true;
        public bool NoExecute;

        public void Add(ulong entry)
        {
            User &= (entry & PageTableEntry.User) != 0;
            Writable &= (entry & PageTableEntry.Writable) != 0;
            NoExecute |= (entry & PageTableEntry.NoExecute) != 0;
        }
    }
}
