using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>A page table of a 32-bit system worth trying.</summary>
/// <param name="Base">Guest-physical: the page directory, or with PAE the page directory pointer table.</param>
/// <param name="Levels">2, or 3 with PAE.</param>
/// <param name="How">Where it comes from.</param>
internal readonly record struct X86Table(ulong Base, int Levels, string How);

/// <summary>
/// Finds the page tables of 32-bit systems: those that the CPUs use, and by one pass over memory those that map themselves, as Windows' do (without PAE one entry of the page directory is the
/// directory itself; with PAE four neighbouring entries of the directory of a kernel GiB are the four directories).
/// </summary>
internal sealed class X86TableSearch
{
    /// <summary>CR4.PAE (Intel SDM vol. 3, 2.5).</summary>
    private const ulong Cr4Pae = 1UL << 5;

    /// <summary>A table of pointers is 32 bytes long and aligned so.</summary>
    private const int PointerTableEntries = 4;

    /// <summary>Of an entry of that table, only Present, cache bits and what is free for software may be set besides the address (Intel SDM vol. 3, table 4-8).</summary>
    private const ulong PointerReserved = 0xFFF0_0000_0000_01E6;

    private readonly Lock _lock = new();
    private readonly PhysicalMemory _memory;
    private readonly int _limit;
    private readonly List<X86Table> _found = [];

    private X86TableSearch(PhysicalMemory memory, int limit) => (_memory, _limit) = (memory, limit);

    /// <summary>CR3 of every CPU, each once.</summary>
    public static IEnumerable<X86Table> OfCpus(IReadOnlyList<CpuState> cpus)
    {
        var seen = new HashSet<ulong>();
        foreach (var cpu in cpus)
        {
            if (cpu.Cr3 is not { } cr3 || cr3 == 0 || cr3 > uint.MaxValue || !seen.Add(cr3))
                continue;
            foreach (var levels in cpu.Cr4 is { } cr4 ? [(cr4 & Cr4Pae) != 0 ? 3 : 2] : new[] { 3, 2 })
                yield return new X86Table(X86Pointers.TableBase(cr3, levels), levels, $"CR3 of vCPU {cpu.Index}");
        }
    }

    /// <summary>Tables in memory that map themselves, lowest first.</summary>
    public static IReadOnlyList<X86Table> InMemory(PhysicalMemory memory, WindowsLimits limits, CancellationToken ct)
    {
        var search = new X86TableSearch(memory, limits.DirectoryTableBases);
        PageScan.Run(memory, search.Visit, ct);
        search._found.Sort(static (left, right) => left.Base.CompareTo(right.Base));
        return search._found;
    }

    private void Visit(PhysicalAddress at, ReadOnlySpan<byte> page)
    {
        if (at.Value > uint.MaxValue)
            return;
        if (IsDirectory(at, MemoryMarshal.Cast<byte, uint>(page)))
            Add(new X86Table(at.Value, 2, $"page directory at {at} that maps itself"));
        var entries = MemoryMarshal.Cast<byte, ulong>(page);
        for (var i = 0; i + PointerTableEntries <= entries.Length; i += PointerTableEntries)
        {
            if (CanPoint(entries[i]) && CanPoint(entries[i + 1]) && CanPoint(entries[i + 2]) && CanPoint(entries[i + 3]) && MapsItself(entries.Slice(i, PointerTableEntries)))
                Add(new X86Table(at.Value + (ulong)(i * sizeof(ulong)), 3, $"page directory pointer table at {at + (ulong)(i * sizeof(ulong))} whose directories map themselves"));
        }
    }

    private void Add(X86Table table)
    {
        lock (_lock)
        {
            if (_found.Count < _limit)
                _found.Add(table);
        }
    }

    private static bool IsDirectory(PhysicalAddress at, ReadOnlySpan<uint> entries)
    {
        const uint flags = (uint)(PageTableEntry.Present | PageTableEntry.Writable | PageTableEntry.User | PageTableEntry.LargePage);
        const uint wanted = (uint)(PageTableEntry.Present | PageTableEntry.Writable);
        var (self, others) = (false, false);
        foreach (var entry in entries[(entries.Length / 2)..])
        {
            var isSelf = (entry & flags) == wanted && (entry & ~(uint)Page.OffsetMask) == at.Value;
            self |= isSelf;
            others |= !isSelf && (entry & (uint)PageTableEntry.Present) != 0;
        }
        return self && others;
    }

    private static bool CanPoint(ulong entry) => (entry & (PageTableEntry.Present | PointerReserved)) == PageTableEntry.Present && (entry & PageTableEntry.AddressMask) != 0;

    /// <summary>The directories of the upper GiBs are looked into: Windows maps its tables at 0xC0000000.</summary>
    private bool MapsItself(ReadOnlySpan<ulong> pointers)
    {
        Span<ulong> directory = stackalloc ulong[PageTableEntry.Count];
        for (var gib = PointerTableEntries - 1; gib >= PointerTableEntries / 2; gib--)
        {
            if (_memory.Read(new PhysicalAddress(pointers[gib] & PageTableEntry.AddressMask), MemoryMarshal.AsBytes(directory)) != Page.Size)
                continue;
            for (var i = 0; i + PointerTableEntries <= directory.Length; i += PointerTableEntries)
            {
                if (Leads(directory[i], pointers[0]) && Leads(directory[i + 1], pointers[1]) && Leads(directory[i + 2], pointers[2]) && Leads(directory[i + 3], pointers[3]))
                    return true;
            }
        }
        return false;
    }

    private static bool Leads(ulong entry, ulong pointer) =>
        (entry & (PageTableEntry.Present | PageTableEntry.LargePage)) == PageTableEntry.Present && (entry & PageTableEntry.AddressMask) == (pointer & PageTableEntry.AddressMask);
}
