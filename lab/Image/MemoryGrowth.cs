using System.Globalization;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>Modules that are plugged in while a twin runs: as many as <paramref name="Count"/>, each with a hole of its own size behind it.</summary>
/// <param name="Address">Guest-physical, of the first.</param>
/// <param name="Size">Bytes of each.</param>
/// <param name="Count">At least 1.</param>
internal sealed record PlugPlan(ulong Address, ulong Size, int Count)
{
    private const int Most = 200;

    public IReadOnlyList<PhysicalRun> Runs =>
        [.. Enumerable.Range(0, Count).Select(i => new PhysicalRun((Address + (ulong)i * 2 * Size) / GuestRam.PageSize, Size / GuestRam.PageSize))];

    /// <summary>ADDRESS+MIB or ADDRESS+MIBxCOUNT, the address in hex; null for anything else.</summary>
    public static PlugPlan? Parse(string text)
    {
        var parts = (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase) ? text[2..] : text).Split('+');
        var sizes = parts[^1].Split('x');
        var count = 1;
        if (parts.Length != 2 || sizes.Length > 2 || !ulong.TryParse(parts[0], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var address)
            || !uint.TryParse(sizes[0], NumberStyles.None, CultureInfo.InvariantCulture, out var mebibytes)
            || (sizes.Length == 2 && !int.TryParse(sizes[1], NumberStyles.None, CultureInfo.InvariantCulture, out count)))
        {
            return null;
        }
        var (plan, large) = (new PlugPlan(address, mebibytes * TwinOptions.MiB, count), 2 * TwinOptions.MiB);
        return address % large == 0 && address >> 40 == 0 && mebibytes is > 0 and <= 4096 && mebibytes % 2 == 0 && count is > 0 and <= Most ? plan : null;
    }
}

/// <summary>
/// What Windows does when memory was added (MmAddPhysicalMemory), as one command of the guest: a new MmPhysicalMemoryBlock takes the old one's place, and one page of each module is mapped and written to.
/// The entries of the page-frame database are there before: only the block says that they count.
/// </summary>
internal sealed class MemoryGrowth
{
    /// <summary>What a page that was taken into use begins with: twice eight bytes, the second its own guest-physical address.</summary>
    public const ulong Mark = 0x776F7267_6E697774; // "twingrow"

    public required IReadOnlyList<PhysicalRun> Runs { get; init; }

    /// <summary>Of the new MmPhysicalMemoryBlock.</summary>
    public required ulong Block { get; init; }

    /// <summary>Pages that the guest maps and writes to: kernel address and guest-physical one.</summary>
    public required IReadOnlyList<(ulong Va, ulong Pa)> Pages { get; init; }

    /// <summary>The qwords that the command writes, in this order.</summary>
    public required IReadOnlyList<(ulong Va, ulong Value)> Writes { get; init; }

    public static MemoryGrowth? Prepare(TwinOptions options, KernelTables tables, AddressSpace system, KernelPool pool, SystemPtes ptes, KernelLayout layout, KernelImage kernel, IReadOnlyList<PhysicalRun> runs)
    {
        if (options.Plug is not { } plug)
            return null;
        var whole = runs.Concat(plug.Runs).OrderBy(run => run.FirstPage).ToList();
        var pages = new List<(ulong, ulong)>();
        var writes = new List<(ulong, ulong)>();
        var at = ptes.Reserve(plug.Count);
        foreach (var run in plug.Runs)
        {
            var pa = run.FirstPage * GuestRam.PageSize;
            // The entry is made, and taken out again: the guest puts it in.
            system.Map(at, pa, Pte.KernelData);
            var entry = EntryOf(layout, options.Levels, at);
            writes.Add((entry, system.ReadU64(entry)));
            system.WriteU64(entry, 0);
            writes.Add((at, Mark));
            writes.Add((at + 8, pa));
            pages.Add((at, pa));
            at += GuestRam.PageSize;
        }
        var block = PhysicalMemoryBlock.Write(tables, system, pool, whole);
        foreach (var (global, value) in new[]
            { ("MmHighestPhysicalPage", whole[^1].FirstPage + whole[^1].Pages - 1), ("MmNumberOfPhysicalPages", whole.Aggregate(0UL, (sum, run) => sum + run.Pages)), ("MmPhysicalMemoryBlock", block) })
        {
            if (kernel.Has(global))
                writes.Add((kernel.AddressOf(global), value));
        }
        return new MemoryGrowth { Runs = plug.Runs, Block = block, Pages = pages, Writes = writes };
    }

    /// <summary>The new pages' entries: zeroed, and on no list yet.</summary>
    public void WriteFrames(KernelTables tables, AddressSpace system, ulong database)
    {
        var entry = new PfnEntry(tables);
        foreach (var run in Runs)
        {
            var bytes = new byte[run.Pages * (ulong)entry.Size];
            for (var i = 0; i < (int)run.Pages; i++)
                entry.Listed(bytes.AsSpan(i * entry.Size, entry.Size), PageState.Zeroed, ulong.MaxValue, ulong.MaxValue);
            system.Write(database + run.FirstPage * (ulong)entry.Size, bytes);
        }
    }

    /// <summary>Where the entry that maps an address shows through the self-map.</summary>
    private static ulong EntryOf(KernelLayout layout, int levels, ulong va) => layout.PteBase + ((va & ((1UL << (12 + 9 * levels)) - 1)) >> 12) * 8;
}
