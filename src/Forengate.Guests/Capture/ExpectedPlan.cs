using System.Globalization;

namespace Forengate.Guests;

/// <summary>
/// How a dump would most likely take a guest's memory, by what can be seen without asking its QEMU: libvirt's description, the process's rights, the host's free memory. What only QEMU knows (devices that can't be migrated,
/// its true version) may still speak against it.
/// </summary>
public static class ExpectedPlan
{
    /// <summary>Null for a guest that does not run, or that we may not capture: <paramref name="access"/> says what it takes then.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="access">What we may do.</param>
    /// <param name="hypervisor">Version of the QEMU that libvirt starts.</param>
    public static CapturePlan? Of(GuestInfo guest, GuestAccess? access, Version? hypervisor)
    {
        ArgumentNullException.ThrowIfNull(guest);
        if (access is not { Needs: null, ProcessId: { } pid } || guest.State is not (GuestState.Running or GuestState.Blocked or GuestState.Paused or GuestState.Crashed))
            return null;
        if (guest.State is GuestState.Paused or GuestState.Crashed)
            return Plan(CaptureMode.HoldStopped, "the guest already stands still: it is read in place");
        if (TooLittleMemory(guest, pid) is { } little)
            return Plan(null, little);
        return Obstacle(guest, pid, hypervisor) is { } obstacle
            ? Plan(CaptureMode.StopAndCopy, $"no background snapshot: {obstacle}")
            : Plan(CaptureMode.Snapshot, "nothing seen from outside speaks against it");

        CapturePlan Plan(CaptureMode? mode, string reason) => new(guest.Target, mode, $"expected, QEMU was not asked: {reason}", [], []);
    }

    /// <summary>For a QEMU that has no monitor to ask: what <c>pid:N</c> as a target does. Null where its memory may not be read.</summary>
    internal static CapturePlan? OfProcess(ProcessGuest guest)
    {
        if (guest.Access.MemoryNeeds is not null)
            return null;
        if (!guest.IsStarted)
            return Plan(null, "its machine has not begun");
        using var process = QemuProcess.TryOf(guest.Process.Id);
        if (process is null)
            return null;
        return process.StandsStill()
            ? Plan(CaptureMode.HoldStopped, "all threads of QEMU are stopped: it is read in place, without registers")
            : Plan(CaptureMode.Live, "it is read as it runs, without registers: " + (guest.IsOfLibvirt
                ? "it belongs to another libvirt, which could stop it (forengate guests --connect URI)" : "it has no QMP socket that could be asked (-qmp unix:PATH,server=on,wait=off)"));

        CapturePlan Plan(CaptureMode? mode, string reason) => new(guest.Guest.Target, mode, $"expected, QEMU was not asked: {reason}", [], []);
    }

    private static string? Obstacle(GuestInfo guest, int pid, Version? hypervisor)
    {
        if (guest.MemoryFacts?.Backend == "file" && !LiesInSharedMemory(pid))
            return SnapshotFacts.FileObstacle;
        return UserFaultRight.Obstacle(pid, hypervisor);
    }

    /// <summary>libvirt's files of guest memory may lie in a tmpfs.</summary>
    private static bool LiesInSharedMemory(int pid)
    {
        try
        {
            return ProcessMap.Read(pid).Where(static mapping => mapping is { Shared: true, Inode: not 0 }).MaxBy(static mapping => mapping.End - mapping.Start) is { Inode: not 0 } largest
                && SnapshotFacts.BackendOf(pid, largest) == RamBackend.SharedMemory;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static string? TooLittleMemory(GuestInfo guest, int pid)
    {
        var need = Math.Max(guest.MemoryFacts?.Total ?? 0, guest.Memory) + RamUse.SwappedOf(pid);
        return HostMemory.Available() is { } available && available < need + CopyRoom.Reserve
            ? string.Create(CultureInfo.InvariantCulture, $"a copy needs {need >> 20} MiB of free host memory and {CopyRoom.Reserve >> 20} MiB more, and there are {available >> 20} MiB")
            : null;
    }
}
