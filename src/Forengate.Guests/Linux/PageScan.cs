using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>Pages of a process's address space that are alike: struct page_region of include/uapi/linux/fs.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct PageStretch(ulong Start, ulong End, ulong Categories);

/// <summary>Asks the kernel for the pages of another process that are of a kind: the PAGEMAP_SCAN call of Linux 6.7 (admin-guide/mm/pagemap).</summary>
internal sealed unsafe class PageScan : IDisposable
{
    // _IOWR('f', 16, struct pm_scan_arg), and the categories of include/uapi/linux/fs.h.
    private const uint Scan = 0xC060_6610;
    public const ulong IsPresent = 1 << 3;
    public const ulong IsSwapped = 1 << 4;

    /// <summary>The page of zeros that all share: what was read and never written.</summary>
    public const ulong IsZeroPage = 1 << 5;

    /// <summary>Part of a large page that is mapped as one, or of hugetlbfs.</summary>
    public const ulong IsHuge = 1 << 6;

    // An entry of /proc/PID/pagemap (admin-guide/mm/pagemap).
    public const ulong EntryPresent = 1UL << 63;
    public const ulong EntrySwapped = 1UL << 62;

    private readonly Descriptor _pagemap;

    [StructLayout(LayoutKind.Sequential)]
    private struct Arguments
    {
        public ulong Size;
        public ulong Flags;
        public ulong Start;
        public ulong End;
        public ulong WalkEnd;
        public ulong Vector;
        public ulong VectorLength;
        public ulong MaxPages;
        public ulong CategoryInverted;
        public ulong CategoryMask;
        public ulong CategoryAnyOfMask;
        public ulong ReturnMask;
    }

    private PageScan(Descriptor pagemap) => _pagemap = pagemap;

    public static PageScan Of(int process) => new(new Descriptor(LinuxNative.Open($"/proc/{process}/pagemap", LinuxNative.O_RDONLY | LinuxNative.O_CLOEXEC)));

    /// <summary>False where the process may not be looked at.</summary>
    public bool IsUsable => !_pagemap.IsInvalid;

    /// <summary>The next stretches of pages of some kinds.</summary>
    /// <param name="at">A page's address, where to begin; afterwards where to go on.</param>
    /// <param name="end">Where to stop.</param>
    /// <param name="kinds">Categories, of which a page has one at least.</param>
    /// <param name="found">Gets them.</param>
    /// <param name="without">Categories of which a page must have none.</param>
    /// <param name="told">Categories that are told besides, and part a stretch from the next.</param>
    /// <returns>How many there are; -1 where the kernel does not know the call, or refuses it.</returns>
    public int Next(ref ulong at, ulong end, ulong kinds, Span<PageStretch> found, ulong without = 0, ulong told = 0)
    {
        const ulong PageMask = 4095;
        fixed (PageStretch* first = found)
        {
            var arguments = new Arguments
            {
                Size = (ulong)sizeof(Arguments),
                Start = at,
                End = (end + PageMask) & ~PageMask,
                Vector = (ulong)first,
                VectorLength = (ulong)found.Length,
                CategoryInverted = without,
                CategoryMask = without,
                CategoryAnyOfMask = kinds,
                ReturnMask = kinds | told,
            };
            var count = LinuxNative.Control(_pagemap.Number, Scan, &arguments);
            if (count < 0 || arguments.WalkEnd <= at)
                return -1;
            at = arguments.WalkEnd;
            return count;
        }
    }

    /// <summary>The entries of pages that follow each other. False where they can't be read.</summary>
    public bool ReadEntries(ulong address, Span<ulong> entries)
    {
        var length = entries.Length * sizeof(ulong);
        fixed (ulong* first = entries)
            return LinuxNative.ReadAt(_pagemap.Number, (byte*)first, (nuint)length, (long)(address / Page.Size * sizeof(ulong))) == length;
    }

    public void Dispose() => _pagemap.Dispose();
}
