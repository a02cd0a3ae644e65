using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Where one build keeps the fields of <c>_PHYSICAL_MEMORY_DESCRIPTOR</c> and its runs. Offsets and size in bytes.</summary>
internal sealed record PhysicalMemoryBlockLayout
{
    public required int NumberOfRuns { get; init; }
    public required int NumberOfPages { get; init; }
    public required int Run { get; init; }
    public required int RunBasePage { get; init; }
    public required int RunPageCount { get; init; }
    public required int RunSize { get; init; }
}

/// <summary>Reads <c>MmPhysicalMemoryBlock</c>: which memory Windows was given at boot.</summary>
internal static class PhysicalMemoryBlockReader
{
    /// <summary>Frames that fit the 52 physical address bits of x64.</summary>
    private const ulong MaxFrame = 1UL << 40;

    /// <param name="kernel">The kernel's address space.</param>
    /// <param name="pointer">Address of the pointer <c>MmPhysicalMemoryBlock</c>.</param>
    /// <param name="layout">This build's.</param>
    /// <param name="limits">Bounds the number of runs.</param>
    /// <param name="reason">Why there is none.</param>
    public static List<PhysicalRange>? Read(
        AddressSpace kernel, VirtualAddress pointer, PhysicalMemoryBlockLayout layout, WindowsLimits limits, out string reason)
    {
        reason = "";
        if (!kernel.TryReadPointer(pointer, out var descriptor) || !KernelPointers.IsObject(descriptor, kernel.Levels)
            || !kernel.TryRead(descriptor + (ulong)layout.NumberOfRuns, out uint count)
            || !kernel.TryRead(descriptor + (ulong)layout.NumberOfPages, out ulong pages))
        {
            reason = "its memory is missing";
            return null;
        }
        if (count == 0 || count > (uint)limits.PhysicalMemoryRuns)
        {
            reason = $"it claims {count} runs";
            return null;
        }
        var bytes = new byte[(int)count * layout.RunSize];
        if (!kernel.TryRead(descriptor + (ulong)layout.Run, bytes))
        {
            reason = "its runs are not in memory";
            return null;
        }

        var runs = new List<PhysicalRange>((int)count);
        var (sum, end) = (0UL, 0UL);
        for (var i = 0; i < (int)count; i++)
        {
            var run = bytes.AsSpan(i * layout.RunSize);
            var first = BinaryPrimitives.ReadUInt64LittleEndian(run[layout.RunBasePage..]);
            var length = BinaryPrimitives.ReadUInt64LittleEndian(run[layout.RunPageCount..]);
            if (first < end || first >= MaxFrame || length == 0 || length > MaxFrame - first)
            {
                reason = $"its run {i} (page 0x{first:x}, 0x{length:x} pages) overlaps another or lies beyond physical memory";
                return null;
            }
            end = first + length;
            sum += length;
            runs.Add(new PhysicalRange(PhysicalAddress.FromFrame(first), length << Page.Shift));
        }
        if (sum != pages)
        {
            reason = $"its runs hold 0x{sum:x} pages, its NumberOfPages says 0x{pages:x}";
            return null;
        }
        return runs;
    }
}
