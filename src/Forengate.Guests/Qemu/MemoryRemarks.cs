namespace Forengate.Guests;

/// <summary>What is worth telling of memory that grows and shrinks.</summary>
internal static class MemoryRemarks
{
    /// <returns>Bytes that a balloon holds.</returns>
    public static ulong Add(IGuestMonitor monitor, GuestMemoryMap map, List<string> remarks, CancellationToken ct)
    {
        foreach (var device in map.Devices.Where(device => device.Unplugged != 0))
            remarks.Add($"virtio-mem {device.Id}: {device.Size >> 20} of {device.Region >> 20} MiB at 0x{device.Address:x} are plugged; the other blocks are no memory of the guest's");
        // "actual" is what the balloon leaves of base memory and DIMMs; virtio-mem is not counted (QEMU, hw/virtio/virtio-balloon.c, get_current_ram_size).
        if (monitor.TryQmp("query-balloon", null, ct)?.Integer("actual") is not (> 0 and var actual)
            || monitor.TryQmp("query-memory-size-summary", null, ct) is not { } summary || summary.Integer("base-memory") is not { } given)
        {
            return 0;
        }
        var dimms = (monitor.TryQmp("query-memory-devices", null, ct) ?? default).Items()
            .Sum(device => device.Text("type") == "dimm" && device.TryGetObject("data", out var data) ? data.Integer("size") ?? 0 : 0);
        var held = given + dimms - actual;
        if (held <= 0)
            return 0;
        remarks.Add($"a balloon holds {held >> 20} MiB of the guest's {(held + actual) >> 20} MiB: those pages have no content any more");
        return (ulong)held;
    }
}
