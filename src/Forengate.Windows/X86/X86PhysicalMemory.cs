using System.Runtime.InteropServices;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Reads <c>MmPhysicalMemoryBlock</c> of a 32-bit kernel: <c>PHYSICAL_MEMORY_DESCRIPTOR</c> with 32-bit numbers of runs and pages, then runs of a 32-bit first page and number of pages.</summary>
internal static class X86PhysicalMemory
{
    private const int FirstRun = 8;

    public static IReadOnlyList<PhysicalRange>? Read(AddressSpace kernel, X86DebuggerData? kdbg, WindowsLimits limits, List<Fact> facts)
    {
        IReadOnlyList<PhysicalRange>? None(string why)
        {
            facts.Add(new Fact("MmPhysicalMemoryBlock", null, why));
            return null;
        }

        if (kdbg?.Pointer(DebuggerDataField.MmPhysicalMemoryBlock) is not { } global)
            return None("no KDBG leads to it");
        if (!X86Pointers.TryRead(kernel, global, out var block) || !kernel.TryRead(block, out uint count) || !kernel.TryRead(block + sizeof(uint), out uint pages))
            return None($"at {global}: its memory is missing");
        if (count == 0 || count > (uint)limits.PhysicalMemoryRuns)
            return None($"at {global}: it claims {count} runs");
        var numbers = new uint[count * 2];
        if (!kernel.TryRead(block + FirstRun, MemoryMarshal.AsBytes(numbers.AsSpan())))
            return None($"at {global}: its runs are not in memory");
        var runs = new List<PhysicalRange>((int)count);
        var (end, sum) = (0UL, 0UL);
        for (var i = 0; i < numbers.Length; i += 2)
        {
            if (numbers[i] < end || numbers[i + 1] == 0)
                return None($"at {global}: its run {i / 2} (page 0x{numbers[i]:x}, 0x{numbers[i + 1]:x} pages) is empty or overlaps another");
            end = (ulong)numbers[i] + numbers[i + 1];
            sum += numbers[i + 1];
            runs.Add(new PhysicalRange(PhysicalAddress.FromFrame(numbers[i]), (ulong)numbers[i + 1] << Page.Shift));
        }
        if (sum != pages)
            return None($"at {global}: its runs hold 0x{sum:x} pages, its NumberOfPages says 0x{pages:x}");
        facts.Add(new Fact("MmPhysicalMemoryBlock", string.Join(", ", runs), $"{runs.Count} runs, {sum:#,0} pages"));
        return runs;
    }
}
