using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Which pages a guest with an inflated balloon gave back. QEMU frees them on the host (ram_block_discard_range, hw/virtio/virtio-balloon.c) and keeps no list; so they are those that the
/// host has nothing for. Those that the guest never touched are among them: neither kind has any content.
/// </summary>
internal static class GivenBackPages
{
    private const ulong Step = 64 << 20;

    /// <summary>More pieces than this are not kept: the guest's memory is in tatters then, and each piece costs on every read.</summary>
    private const int Most = 1 << 20;

    /// <summary>Finds them; the guest stands still, or what is found is compared with what it holds afterwards.</summary>
    /// <returns>Sorted and disjoint; null where the host does not tell of all memory.</returns>
    public static IReadOnlyList<PhysicalRange>? Find(GuestMemoryMap map, SharedBackends backends, AbsentPages anonymous)
    {
        var found = new List<PhysicalRange>();
        foreach (var section in map.Sections)
        {
            for (var offset = 0UL; offset < section.Length;)
            {
                var host = section.HostAddress + offset;
                var length = Math.Min(Step, section.Length - offset);
                if (backends.TryGetExtent(host, length, out var extent, out var part))
                {
                    length = extent;
                    if (part == BackendPart.Hole)
                        Add(found, section.Start + offset, length);
                }
                else if (!AddAbsent(found, section, offset, length, anonymous))
                {
                    return null;
                }
                if (found.Count > Most)
                    return null;
                offset += length;
            }
        }
        return found;
    }

    private static bool AddAbsent(List<PhysicalRange> found, RamSection section, ulong offset, ulong length, AbsentPages anonymous)
    {
        var host = section.HostAddress + offset;
        var at = host;
        if (!anonymous.ForEachPresent(
            host, length,
            (start, present, _) =>
            {
                Add(found, section.Start + (at - section.HostAddress), start - at);
                at = start + present;
                return found.Count <= Most;
            },
            byEntries: true))
        {
            return false;
        }
        Add(found, section.Start + (at - section.HostAddress), host + length - at);
        return true;
    }

    private static void Add(List<PhysicalRange> found, PhysicalAddress start, ulong length)
    {
        if (length == 0)
            return;
        if (found.Count > 0 && found[^1].End == start)
            found[^1] = found[^1] with { Length = found[^1].Length + length };
        else
            found.Add(new PhysicalRange(start, length));
    }

    /// <summary>Of a list those pages that a view knows to be zeros: what the guest has taken back since, it may have written.</summary>
    public static IReadOnlyList<PhysicalRange> StillZero(IReadOnlyList<PhysicalRange> ranges, PhysicalMemory memory)
    {
        var result = new List<PhysicalRange>();
        foreach (var range in ranges)
        {
            for (var at = range.Start; at < range.End;)
            {
                var run = memory.RunAt(at, range.End - at);
                var length = Math.Min(run.Range.End - at, range.End - at);
                if (run.State == PageState.Zero)
                    Add(result, at, length);
                at += length;
            }
        }
        return result;
    }
}
