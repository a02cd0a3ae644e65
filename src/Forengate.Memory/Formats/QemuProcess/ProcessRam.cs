using System.Globalization;

namespace Forengate.Memory;

/// <summary>Memory of a process that could be a guest's RAM: readable and writable, one stretch.</summary>
/// <param name="Start">Virtual address in the process.</param>
/// <param name="Length">In bytes.</param>
/// <param name="Path">The file it maps ("/memfd:memory-backend-memfd (deleted)", "/dev/shm/x"); empty for anonymous memory.</param>
public readonly record struct ProcessRegion(ulong Start, ulong Length, string Path)
{
    public ulong End => Start + Length;
}

/// <summary>Guest RAM found in QEMU's process.</summary>
/// <param name="Range">Guest-physical.</param>
/// <param name="HostAddress">Virtual address in the process.</param>
/// <param name="Block">Name of the RAM block.</param>
public readonly record struct PlacedRam(PhysicalRange Range, ulong HostAddress, string Block);

/// <summary>
/// Finds a guest's RAM in a QEMU that can't be asked (hung, dead, a core file): which of its mappings, by the sizes and files on its command line, and at which guest-physical address, by
/// machine type and size. How each was found is said; what is left to choice is called assumed.
/// </summary>
public static class ProcessRam
{
    /// <summary>QEMU aligns RAM without a file to huge pages (include/qemu/osdep.h, QEMU_VMALLOC_ALIGN on x86).</summary>
    private const ulong Alignment = 2UL << 20;

    /// <param name="arguments">QEMU's command line.</param>
    /// <param name="regions">The process's writable memory, any order.</param>
    /// <param name="low">RAM below 4 GiB as the user knows it; null: as the machine type has it.</param>
    /// <param name="remarks">Takes how it was found.</param>
    /// <returns>Ascending and disjoint; empty, with a reason in <paramref name="remarks"/>, where RAM was not found.</returns>
    public static IReadOnlyList<PlacedRam> Find(QemuArguments arguments, IEnumerable<ProcessRegion> regions, ulong? low, ICollection<string> remarks)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        ArgumentNullException.ThrowIfNull(regions);
        ArgumentNullException.ThrowIfNull(remarks);
        List<ProcessRegion> free = [.. regions.Where(region => region.Length != 0 && region.Start <= ulong.MaxValue - region.Length).OrderBy(region => region.Start)];
        var blocks = arguments.MainRam();
        var found = new List<(QemuBackend Block, ulong Start)>();
        foreach (var block in blocks)
        {
            if (Choose(block, free, remarks) is not { } start)
            {
                remarks.Add($"no memory of the process is the {RamSplit.Size(block.Size)} of RAM block '{block.Id}'");
                return [];
            }
            found.Add((block, start));
        }
        if (arguments.DeviceBackends.Count != 0)
            remarks.Add($"memory devices ({string.Join(", ", arguments.DeviceBackends.Order(StringComparer.Ordinal).Take(8))}) were left out: only QEMU knows where they lie");
        return Place(arguments, found, low, remarks);
    }

    /// <summary>Mappings that touch and map the same kind of memory are one: the kernel splits them by advice and policy.</summary>
    private static List<ProcessRegion> Join(List<ProcessRegion> sorted)
    {
        var joined = new List<ProcessRegion>();
        foreach (var region in sorted)
        {
            if (joined.Count != 0 && joined[^1].End == region.Start && joined[^1].Path == region.Path)
                joined[^1] = joined[^1] with { Length = joined[^1].Length + region.Length };
            else
                joined.Add(region);
        }
        return joined;
    }

    private static ulong? Choose(QemuBackend block, List<ProcessRegion> free, ICollection<string> remarks)
    {
        // Whole mappings of this size first, then such as together have it; of several those of the block's file; else memory with room for it at an aligned place.
        var fitting = free.Where(region => region.Length == block.Size).ToList();
        var joined = fitting.Count == 0 ? Join(free) : [];
        if (fitting.Count == 0)
            fitting = [.. joined.Where(region => region.Length == block.Size)];
        if (block.Path is { } path && fitting.Where(region => IsIn(region.Path, path)).ToList() is { Count: > 0 } ofFile)
            fitting = ofFile;
        else if (fitting.Count > 1 && fitting.Where(region => !region.Path.StartsWith('/') || region.Path.StartsWith("/memfd:", StringComparison.Ordinal)).ToList() is { Count: > 0 } unnamed)
            fitting = unnamed;
        if (fitting.Count == 0)
        {
            fitting = [.. joined.Select(region => region with { Start = Aligned(region.Start), Length = region.End - Math.Min(region.End, Aligned(region.Start)) }).Where(region => region.Length >= block.Size)];
            // More than one, and none of them the right size, is no ground to choose on.
            if (fitting.Count != 1)
                return null;
            remarks.Add($"assumed: RAM block '{block.Id}' begins at the first aligned address of the only mapping that holds {RamSplit.Size(block.Size)}");
            var at = fitting[0].Start;
            free.RemoveAll(region => region.Start < at + block.Size && at < region.End);
            return at;
        }
        // Linux gives addresses from above, so that the earlier block lies higher.
        var chosen = fitting[^1];
        if (fitting.Count > 1)
            remarks.Add(string.Create(CultureInfo.InvariantCulture, $"assumed: of {fitting.Count} mappings of {RamSplit.Size(block.Size)} the highest, at 0x{chosen.Start:x}, is RAM block '{block.Id}'"));
        free.RemoveAll(region => region.Start >= chosen.Start && region.End <= chosen.End);
        return chosen.Start;
    }

    private static IReadOnlyList<PlacedRam> Place(QemuArguments arguments, List<(QemuBackend Block, ulong Start)> found, ulong? low, ICollection<string> remarks)
    {
        var size = found.Aggregate(0UL, (sum, entry) => sum + entry.Block.Size);
        string rule;
        ulong below;
        if (low is { } said)
            (below, rule) = (Math.Min(said, size), "as --low-memory says");
        else if (arguments.MostBelow4G is { } most)
            (below, rule) = (Math.Min(size, most), "by max-ram-below-4g");
        else
            below = RamSplit.Low(arguments.Machine, size, out rule);
        remarks.Add($"RAM below 4 GiB ends at 0x{below:x}, {rule}");
        var placed = new List<PlacedRam>();
        var at = 0UL;
        foreach (var (block, start) in found)
        {
            for (var offset = 0UL; offset < block.Size;)
            {
                var length = Math.Min(block.Size - offset, at < below ? below - at : ulong.MaxValue);
                var address = new PhysicalAddress(at < below ? at : RamSplit.FourGiB + (at - below));
                placed.Add(new PlacedRam(new PhysicalRange(address, length), start + offset, block.Id));
                offset += length;
                at += length;
            }
        }
        return placed;
    }

    private static ulong Aligned(ulong address) => address > ulong.MaxValue - Alignment ? address : (address + Alignment - 1) & ~(Alignment - 1);

    private static bool IsIn(string mapped, string path) => mapped == path || mapped.StartsWith(path.TrimEnd('/') + "/", StringComparison.Ordinal) || mapped == path + " (deleted)";
}
