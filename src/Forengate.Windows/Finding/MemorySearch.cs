using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>What one pass over memory finds of Windows kernels where no registers tell: top page tables and CodeView records.</summary>
internal sealed class MemorySearch
{
    /// <summary>Windows maps its page tables into themselves by one entry of the top table, in the kernel's half.</summary>
    private const int FirstKernelSlot = 256;


    /// <summary>One page in so many is looked at for randomness.</summary>
    private const int SampleEvery = 64;

    /// <summary>A page of random bytes lacks about 0 of the 256 values (4096 draws); text, code and tables lack many.</summary>
    private const int RandomDistinct = 250;

    private readonly Lock _lock = new();
    private readonly WindowsLimits _limits;

    private readonly PhysicalMemory _memory;

    private MemorySearch(PhysicalMemory memory, WindowsLimits limits)
    {
        _memory = memory;
        _limits = limits;
    }

    /// <summary>A CodeView record of a kernel in memory.</summary>
    public readonly record struct Record(PhysicalAddress At, CodeViewRecord CodeView);

    /// <summary>Pages that refer to themselves as a top page table does, lowest first.</summary>
    public List<PhysicalAddress> Tables { get; } = [];

    /// <summary>CodeView records with a kernel's name, lowest first.</summary>
    public List<Record> Records { get; } = [];

    /// <summary>Pages looked at: those with bytes that are not known to be zero.</summary>
    public int Pages => _pages;

    private int _pages;
    private int _sampled;
    private int _random;

    /// <summary>True when nearly every page looked at is as random as encrypted memory is.</summary>
    public bool LooksEncrypted => _sampled >= 64 && _random > _sampled * 0.95;

    public static MemorySearch Run(PhysicalMemory memory, WindowsLimits limits, CancellationToken ct)
    {
        var search = new MemorySearch(memory, limits);
        PageScan.Run(memory, search.Visit, ct);
        search.Tables.Sort();
        search.Records.Sort(static (left, right) => left.At.CompareTo(right.At));
        return search;
    }

    /// <summary>Whether a page's content can be the top table at this address.</summary>
    public static bool LooksLikeTopTable(PhysicalAddress at, ReadOnlySpan<byte> page)
    {
        var entries = MemoryMarshal.Cast<byte, ulong>(page);
        foreach (var entry in entries[FirstKernelSlot..])
        {
            if ((entry & PageTableEntry.AddressMask) == at.Value
                && (entry & (PageTableEntry.Present | PageTableEntry.Writable | PageTableEntry.User | PageTableEntry.LargePage)) == (PageTableEntry.Present | PageTableEntry.Writable))
                return HasOtherKernelEntries(entries, at);
        }
        return false;
    }

    private static bool HasOtherKernelEntries(ReadOnlySpan<ulong> entries, PhysicalAddress at)
    {
        var others = 0;
        foreach (var entry in entries[FirstKernelSlot..])
        {
            if ((entry & PageTableEntry.Present) == 0)
                continue;
            if ((entry & PageTableEntry.LargePage) != 0)
                return false;
            if ((entry & PageTableEntry.AddressMask) != at.Value)
                others++;
        }
        return others > 0;
    }

    private void Visit(PhysicalAddress at, ReadOnlySpan<byte> page)
    {
        Interlocked.Increment(ref _pages);
        if (at.Frame % SampleEvery == 0 && page.ContainsAnyExcept((byte)0))
        {
            Interlocked.Increment(ref _sampled);
            if (Distinct(page) >= RandomDistinct)
                Interlocked.Increment(ref _random);
        }
        if (LooksLikeTopTable(at, page))
        {
            lock (_lock)
            {
                if (Tables.Count < _limits.DirectoryTableBases * 64)
                    Tables.Add(at);
            }
        }

        var dwords = MemoryMarshal.Cast<byte, uint>(page);
        for (var from = 0; dwords[from..].IndexOf(CodeViewRecord.RsdsSignature) is var found and >= 0; from += found + 1)
            TakeRecord(at + (ulong)((from + found) * sizeof(uint)));
    }

    /// <summary>Across the end of its page a record goes on in the next page of memory: kernels lie in large pages.</summary>
    private void TakeRecord(PhysicalAddress at)
    {
        Span<byte> bytes = stackalloc byte[LoadedImage.MaxCodeView];
        if (CodeViewRecord.Parse(bytes[.._memory.Read(at, bytes)]) is not { } codeView || !KernelPdbNames.IsKernel(codeView.Name))
            return;
        lock (_lock)
        {
            if (Records.Count < _limits.KernelRecords)
                Records.Add(new Record(at, codeView));
        }
    }

    private static int Distinct(ReadOnlySpan<byte> page)
    {
        Span<bool> seen = stackalloc bool[256];
        seen.Clear();
        var count = 0;
        foreach (var value in page)
        {
            if (!seen[value])
            {
                seen[value] = true;
                count++;
            }
        }
        return count;
    }
}
