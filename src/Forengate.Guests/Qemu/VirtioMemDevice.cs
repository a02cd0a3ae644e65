using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A virtio-mem device: a region of guest-physical memory of which the guest has the blocks that it plugged.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Address">Of its first block.</param>
/// <param name="Region">Bytes of all its blocks.</param>
/// <param name="Size">Bytes that are plugged.</param>
/// <param name="Block">Bytes of a block.</param>
internal sealed record VirtioMemDevice(string Id, ulong Address, ulong Region, ulong Size, ulong Block)
{
    private const int Most = 4096;

    /// <summary>The smallest block that QEMU lets a device have (hw/virtio/virtio-mem.c, VIRTIO_MEM_MIN_BLOCK_SIZE).</summary>
    private const ulong LeastBlock = 1 << 20;

    public ulong Unplugged => Region - Math.Min(Size, Region);

    public PhysicalRange Range => new(new PhysicalAddress(Address), Region);

    /// <summary>All of a guest's, by address (QMP query-memory-devices).</summary>
    public static List<VirtioMemDevice> All(IGuestMonitor monitor, CancellationToken ct)
    {
        var found = new List<VirtioMemDevice>();
        foreach (var device in (monitor.TryQmp("query-memory-devices", null, ct) ?? default).Items())
        {
            if (device.Text("type") != "virtio-mem" || !device.TryGetObject("data", out var data) || found.Count >= Most
                || data.Integer("memaddr") is not (> 0 and var address) || data.Integer("max-size") is not (> 0 and var region) || data.Integer("size") is not (>= 0 and var size)
                || data.Integer("block-size") is not { } block || (ulong)block < LeastBlock || !ulong.IsPow2((ulong)block) || region % block != 0 || address % block != 0)
            {
                continue;
            }
            found.Add(new VirtioMemDevice(data.Text("id") ?? "?", (ulong)address, (ulong)region, (ulong)size, (ulong)block));
        }
        found.Sort((left, right) => left.Address.CompareTo(right.Address));
        return found;
    }

    /// <summary>Leaves of the devices' memory only what is plugged.</summary>
    /// <param name="parts">All of RAM, ascending.</param>
    /// <param name="devices">By address.</param>
    /// <param name="plugged">Ascending and disjoint.</param>
    public static List<RamSection> Cut(IEnumerable<RamSection> parts, IReadOnlyList<VirtioMemDevice> devices, IReadOnlyList<PhysicalRange> plugged)
    {
        var sections = new List<RamSection>();
        foreach (var part in parts)
        {
            if (!devices.Any(device => device.Range.Contains(part.Start)))
            {
                sections.Add(part);
                continue;
            }
            foreach (var range in plugged)
            {
                var start = Math.Max(part.Start.Value, range.Start.Value);
                var end = Math.Min(part.End.Value, range.End.Value);
                if (start < end)
                    sections.Add(new RamSection(new PhysicalAddress(start), end - start, part.HostAddress + (start - part.Start.Value), part.Block) { Offset = part.Offset + (start - part.Start.Value) });
            }
        }
        return sections;
    }
}
