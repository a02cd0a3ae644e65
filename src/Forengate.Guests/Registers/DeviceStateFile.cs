using System.Globalization;

namespace Forengate.Guests;

/// <summary>
/// The state of all devices of a guest that stands still, without its RAM: the only source of LSTAR and the other MSRs beside a migration. QEMU writes it (QMP
/// <c>xen-save-devices-state</c>, which needs no Xen) into a memory file that was passed to it before the guest stood still: nothing to read in time, nobody to wait for. Unlike a
/// migration it ends with the guest as it was: its run state stays, and, as it is not called live, its disks are not handed over to anybody (QEMU, migration/savevm.c,
/// qmp_xen_save_devices_state).
/// </summary>
internal sealed class DeviceStateFile : IDisposable
{
    public const string Missing = "LSTAR and other MSRs are unknown";

    private const string Command = "xen-save-devices-state";
    private const string Note = "forengate-devices";

    private readonly IGuestMonitor _monitor;
    private readonly Descriptor _file;
    private readonly long _set;

    private DeviceStateFile(IGuestMonitor monitor, Descriptor file, long set)
    {
        _monitor = monitor;
        _file = file;
        _set = set;
    }

    /// <summary>States of a guest that stands still and is not in somebody's hands on its way elsewhere (qapi/run-state.json).</summary>
    public static bool IsCalm(RunState state) => state.Status is "paused" or "guest-panicked" or "watchdog";

    /// <summary>Why QEMU can't, or should not be asked to, write the devices' state; null when nothing speaks against it. Changes nothing.</summary>
    public static string? Obstacle(IGuestMonitor monitor, CancellationToken ct)
    {
        if (!(monitor.TryQmp("query-commands", null, ct) ?? default).Items().Any(command => command.Text("name") == Command))
            return $"this QEMU does not know {Command}";
        return SnapshotFacts.MigrationObstacle(monitor, ct);
    }

    /// <summary>Makes the file and gives it to QEMU.</summary>
    /// <param name="monitor">The guest's.</param>
    /// <param name="ct">Ends the asking.</param>
    /// <param name="reason">Why it could not be.</param>
    public static DeviceStateFile? Prepare(IGuestMonitor monitor, CancellationToken ct, out string? reason)
    {
        const uint CloseOnExec = 1;
        reason = Obstacle(monitor, ct);
        if (reason is not null)
            return null;
        var file = new Descriptor(LinuxNative.CreateMemoryFile(Note, CloseOnExec));
        try
        {
            // QEMU picks of its set a descriptor opened as it would open the file: for writing alone.
            using var writing = new Descriptor(file.IsInvalid ? -1 : LinuxNative.Open($"/proc/self/fd/{file.Number}", LinuxNative.O_WRONLY | LinuxNative.O_CLOEXEC));
            if (writing.IsInvalid)
                throw new IOException("the host gives no file in memory");
            RemoveLeftovers(monitor, ct);
            return new DeviceStateFile(monitor, file, monitor.AddDescriptor(string.Create(CultureInfo.InvariantCulture, $"{Note} {Environment.ProcessId}"), writing.Number, ct));
        }
        catch (Exception e) when (e is IOException or QmpRefusedException)
        {
            file.Dispose();
            reason = e.Message;
            return null;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Has the state written. The guest stands still.</summary>
    public ReadOnlyMemory<byte>? Save(CancellationToken ct, out string? reason)
    {
        try
        {
            _monitor.Qmp(Command, writer =>
            {
                writer.WriteString("filename", string.Create(CultureInfo.InvariantCulture, $"/dev/fdset/{_set}"));
                // "Live" hands the disks over: their locks are given up, and who takes them meanwhile keeps the guest from running again.
                writer.WriteBoolean("live", false);
            }, ct);
            reason = null;
            return CpuNoteFile.ReadAll(_file);
        }
        catch (QmpRefusedException e)
        {
            reason = e.Message;
            return null;
        }
    }

    public void Dispose()
    {
        if (_file.IsClosed)
            return;
        try
        {
            Remove(_monitor, _set, CancellationToken.None);
        }
        catch (IOException)
        {
            // Whoever comes next takes it back.
        }
        _file.Dispose();
    }

    /// <summary>What was given to QEMU by one of us that was killed: some 100 KiB, which QEMU itself gives back only when its last monitor goes.</summary>
    private static void RemoveLeftovers(IGuestMonitor monitor, CancellationToken ct)
    {
        foreach (var set in (monitor.TryQmp("query-fdsets", null, ct) ?? default).Items())
        {
            if (set.Integer("fdset-id") is not { } number || !set.TryGetProperty("fds", out var files))
                continue;
            if (files.Items().Any(file => file.Text("opaque")?.Split(' ') is [Note, var process] && !Directory.Exists("/proc/" + process)))
                Remove(monitor, number, ct);
        }
    }

    private static void Remove(IGuestMonitor monitor, long set, CancellationToken ct) => monitor.TryQmp("remove-fd", writer => writer.WriteNumber("fdset-id", set), ct);
}
