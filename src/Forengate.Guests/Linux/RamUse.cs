using System.Globalization;

namespace Forengate.Guests;

/// <summary>A mapping of guest RAM in QEMU, and what the host has of it (<c>/proc/PID/smaps</c>, proc(5)).</summary>
/// <param name="Mapping">Which.</param>
/// <param name="Resident">Bytes in memory.</param>
/// <param name="Swapped">Bytes in the host's swap; of a shared file all that lie there, whoever wrote them.</param>
internal readonly record struct RamUse(ProcessMapping Mapping, ulong Resident, ulong Swapped)
{
    private const string ResidentLine = "Rss:";
    private const string SwapLine = "Swap:";

    /// <summary>Those that RAM lies in.</summary>
    /// <exception cref="IOException">They can't be read.</exception>
    /// <exception cref="UnauthorizedAccessException">They may not be read.</exception>
    public static List<RamUse> Of(GuestMemoryMap map, int pid)
    {
        var found = new List<RamUse>();
        var isRam = false;
        foreach (var line in File.ReadLines($"/proc/{pid}/smaps"))
        {
            if (ProcessMap.TryParse(line, out var mapping))
            {
                isRam = map.Sections.Any(section => section.HostAddress < mapping.End && mapping.Start < section.HostAddress + section.Length);
                if (isRam)
                    found.Add(new RamUse(mapping, 0, 0));
            }
            else if (isRam && Size(line, ResidentLine) is { } resident)
            {
                found[^1] = found[^1] with { Resident = resident };
            }
            else if (isRam && Size(line, SwapLine) is { } swapped)
            {
                found[^1] = found[^1] with { Swapped = swapped };
            }
        }
        return found;
    }

    /// <summary>Bytes of RAM in the host's swap; 0 where nobody may know.</summary>
    public static ulong SwappedOf(GuestMemoryMap map, int pid)
    {
        // Asking for each mapping has the kernel walk all of the guest's pages.
        if (HostMemory.SwapInUse() == 0 && SwappedOf(pid) == 0)
            return 0;
        try
        {
            return Of(map, pid).Aggregate(0UL, static (sum, use) => sum + Math.Min(use.Swapped, use.Mapping.End - use.Mapping.Start));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    /// <summary>Bytes that a process has in the host's swap, without shared memory; 0 where nobody may know.</summary>
    public static ulong SwappedOf(int pid)
    {
        try
        {
            return File.ReadLines($"/proc/{pid}/status").Select(static line => Size(line, "VmSwap:")).FirstOrDefault(static size => size is not null) ?? 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    private static ulong? Size(string line, string name) =>
        line.StartsWith(name, StringComparison.Ordinal) && ulong.TryParse(line.AsSpan(name.Length).Trim().TrimEnd("kB ").Trim(), NumberStyles.None, null, out var kibibytes) ? kibibytes << 10 : null;
}
