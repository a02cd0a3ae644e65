using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>A run of physical memory in pages.</summary>
internal sealed record PhysicalRun(ulong FirstPage, ulong Pages);

/// <summary>MmPhysicalMemoryBlock: what Windows took over from the firmware. Page 0 and what lies from 636 KiB to 1 MiB is not Windows' on a PC with a BIOS.</summary>
internal static class PhysicalMemoryBlock
{
    /// <summary>Pages at the end of low memory in which the firmware keeps its ACPI tables.</summary>
    public const ulong FirmwarePages = 0x20;

    public static IReadOnlyList<PhysicalRun> Runs(GuestRam ram)
    {
        const ulong page = GuestRam.PageSize;
        // The user's Windows 7 (README of the test data) has 1..0x9E and 0x100.. up to an end some pages below the hole, where the firmware keeps its ACPI tables.
        var runs = new List<PhysicalRun> { new(1, 0x9E), new(0x100, ram.LowSize / page - 0x100 - FirmwarePages) };
        if (ram.HighSize > 0)
            runs.Add(new PhysicalRun(GuestRam.HighBase / page, ram.HighSize / page));
        return runs;
    }

    public static ulong Write(KernelTables tables, AddressSpace space, KernelPool pool, IReadOnlyList<PhysicalRun> runs)
    {
        var run = tables.SizeOf("_PHYSICAL_MEMORY_RUN");
        var size = tables.OffsetOf("_PHYSICAL_MEMORY_DESCRIPTOR", "Run") + run * runs.Count;
        var at = new StructWriter(tables, "_PHYSICAL_MEMORY_DESCRIPTOR", pool.Allocate("Mmph", size), size);
        at.Set("NumberOfRuns", (ulong)runs.Count).Set("NumberOfPages", runs.Aggregate(0UL, (sum, r) => sum + r.Pages));
        at.Store(space);
        for (var i = 0; i < runs.Count; i++)
        {
            var entry = new StructWriter(tables, "_PHYSICAL_MEMORY_RUN", at.AddressOf("Run") + (ulong)(i * run));
            entry.Set("BasePage", runs[i].FirstPage).Set("PageCount", runs[i].Pages).Store(space);
        }
        return at.Address;
    }
}
