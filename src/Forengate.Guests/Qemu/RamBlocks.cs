namespace Forengate.Guests;

/// <summary>
/// Which memory regions are the guest's RAM: the machine's and the NUMA nodes' memory backends and plugged DIMMs; not memory that a device shows in its BAR (ivshmem),
/// persistent memory, video memory, firmware.
/// </summary>
internal static class RamBlocks
{
    /// <summary>What QEMU before 5.0 called RAM without a backend.</summary>
    private const string Classic = "pc.ram";

    private const int MostBackends = 4096;

    public static List<string> Names(IGuestMonitor monitor, List<string> remarks, CancellationToken ct)
    {
        var names = new HashSet<string>(StringComparer.Ordinal) { Classic };
        foreach (var backend in (monitor.TryQmp("query-memdev", null, ct) ?? default).Items())
        {
            if (backend.Text("id") is { Length: > 0 } id && names.Count < MostBackends)
                names.Add(id);
        }
        foreach (var device in (monitor.TryQmp("query-memory-devices", null, ct) ?? default).Items())
        {
            // Persistent memory and enclaves are no RAM to an operating system.
            if (device.Text("type") is not { } type || type is "dimm" or "virtio-mem" || !device.TryGetObject("data", out var data))
                continue;
            if (data.Text("memdev") is { } path && names.Remove(Leaf(path)))
                remarks.Add($"{type} {data.Text("id") ?? Leaf(path)} is not RAM and was left out");
        }
        foreach (var (device, path) in SharedMemoryDevices(monitor, ct))
        {
            if (names.Remove(Leaf(path)))
                remarks.Add($"the shared memory of {device} is not RAM and was left out");
        }
        // Some QEMUs name the region by the object's whole path.
        return [.. names, .. names.Select(n => "/objects/" + n)];
    }

    /// <summary>Devices that show a memory backend to the guest as something other than RAM.</summary>
    private static List<(string Device, string Backend)> SharedMemoryDevices(IGuestMonitor monitor, CancellationToken ct)
    {
        var found = new List<(string, string)>();
        foreach (var container in (ReadOnlySpan<string>)["/machine/peripheral", "/machine/peripheral-anon"])
        {
            foreach (var child in (monitor.TryQmp("qom-list", w => w.WriteString("path", container), ct) ?? default).Items())
            {
                if (found.Count >= MostBackends)
                    return found;
                if (child.Text("type") is not { } type || child.Text("name") is not { } name
                    || !(type.StartsWith("child<ivshmem", StringComparison.Ordinal) || type.StartsWith("child<virtio-pmem", StringComparison.Ordinal)))
                {
                    continue;
                }
                var path = container + "/" + name;
                var backend = monitor.QomText(path, "memdev", ct);
                if (!string.IsNullOrEmpty(backend))
                    found.Add((name, backend));
            }
        }
        return found;
    }

    private static string Leaf(string path) => path[(path.LastIndexOf('/') + 1)..];
}
