using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Takes a view of a QEMU that answers no more: hung, stopped, its monitor taken or gone. RAM is found by the command line and the process's map, nothing is asked of QEMU, nothing is
/// stopped, nothing is written. What its monitor would have told (the vCPUs' registers, where memory devices lie) is unknown, and is said to be.
/// </summary>
public static class ProcessCapture
{
    /// <param name="target">The process.</param>
    /// <param name="low">RAM below 4 GiB in bytes, where the user knows it; null: as the machine type has it.</param>
    /// <param name="readsAll">As <see cref="CaptureOptions.ReadsAll"/>.</param>
    /// <exception cref="GuestException">No such process, not QEMU, no right, its RAM was not found, or must not all be read.</exception>
    public static View Take(ProcessTarget target, ulong? low, bool readsAll = false)
    {
        ArgumentNullException.ThrowIfNull(target);
        var process = QemuProcess.Of(target.Id);
        try
        {
            return Take(target, process, low, readsAll);
        }
        catch
        {
            process.Dispose();
            throw;
        }
    }

    private static View Take(ProcessTarget target, QemuProcess process, ulong? low, bool readsAll)
    {
        var remarks = new List<string>();
        var arguments = QemuArguments.Parse(process.ReadArguments());
        var mappings = process.ReadMappings();
        var placed = ProcessRam.Find(
            arguments, mappings.Where(mapping => mapping.Writable).Select(mapping => new ProcessRegion(mapping.Start, mapping.End - mapping.Start, mapping.Path)), low, remarks);
        if (placed.Count == 0)
            throw new GuestException(GuestFailure.MemoryMap, $"{target}: {remarks[^1]}; its command line asks for it, so its memory may be of a kind that is not known here");
        var map = GuestMemoryMap.Of(placed);
        process.ProveReadable(map.Sections[0].HostAddress);
        if (readsAll && ControlGroupMemory.Obstacle(process.Id, RamUse.SwappedOf(map, process.Id)) is { } reason)
            throw new GuestException(GuestFailure.NoMemory, $"{target}: if all is read, {reason}");
        var still = process.StandsStill();
        var consistency = still
            ? new Consistency(ConsistencyLevel.MemoryOnly, "QEMU's process is stopped, all its threads")
            : new Consistency(ConsistencyLevel.Smeared, $"nothing stopped the process while it was read: kill -STOP {target.Id} before, and kill -CONT {target.Id} afterwards, give one instant");
        remarks.Add("QEMU was not asked: registers of vCPUs are unknown");
        var memory = new LiveMemory(map, process, still);
        var watched = still ? null : new WatchedMemory(memory);
        var origin = new ViewOrigin
        {
            Target = target.ToString(),
            Format = "process of a QEMU that is not asked",
            Producer = "QEMU",
            TakenAt = DateTimeOffset.UtcNow,
            Machine = arguments.Machine,
            GuestName = arguments.GuestName,
            Actions = [],
            Remarks = remarks,
        };
        return new View(watched ?? (PhysicalMemory)memory, [], consistency, origin, process, () => origin with { Smear = watched?.Score });
    }
}
