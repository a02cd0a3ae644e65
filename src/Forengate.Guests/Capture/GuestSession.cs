using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A guest that was reached, known to be readable, and not touched yet.</summary>
internal sealed class GuestSession : IDisposable
{
    private GuestSession(IGuestMonitor monitor, QemuProcess process, GuestMemoryMap map, RunState state, CpuReader cpus, List<string> remarks)
    {
        Monitor = monitor;
        Process = process;
        Map = map;
        State = state;
        Cpus = cpus;
        Remarks = remarks;
    }

    public IGuestMonitor Monitor { get; }

    public QemuProcess Process { get; }

    public GuestMemoryMap Map { get; private set; }

    /// <summary>Bytes that a balloon held when the session was opened.</summary>
    public ulong Ballooned { get; private init; }

    /// <summary>As it was when the session was opened.</summary>
    public RunState State { get; }

    public CpuReader Cpus { get; }

    public List<string> Remarks { get; }

    /// <summary>What QEMU said is plugged of virtio-mem devices, when it was asked; null: it was not.</summary>
    public IReadOnlyList<PhysicalRange>? SettledBlocks { get; private set; }

    /// <summary>Asks QEMU, whose guest stands still now, for what it tells only then of its memory. False when the map is another one afterwards.</summary>
    public bool Settle(CancellationToken ct)
    {
        var before = Map;
        Map = before.Settle(Monitor, Remarks, ct);
        SettledBlocks = Map.Devices.Count == 0 ? null : Map.Plugged;
        return ReferenceEquals(Map, before);
    }

    /// <param name="target">The guest.</param>
    /// <param name="connectUri">libvirt's URI.</param>
    /// <param name="ct">Ends the asking.</param>
    /// <param name="plugged">As <see cref="GuestMemoryMap.Resolve"/> takes it.</param>
    public static GuestSession Open(GuestTarget target, string? connectUri, CancellationToken ct, IReadOnlyList<PhysicalRange>? plugged = null)
    {
        var remarks = new List<string>();
        IGuestMonitor monitor = target.Kind == GuestTargetKind.Libvirt
            ? LibvirtMonitor.Open(LibvirtUri.Resolve(connectUri), target.Name, ct)
            : QmpMonitor.Open(target.Name, ct);
        QemuProcess? process = null;
        try
        {
            var state = monitor.QueryState(ct);
            if (state.Status is "inmigrate" or "finish-migrate" or "save-vm" or "restore-vm")
                throw new GuestException(GuestFailure.BadState, $"{target}: the guest is being saved, restored or migrated ({state.Status}); wait until it is done");
            Confidential.Refuse(monitor, ct);
            process = monitor is LibvirtMonitor libvirt ? QemuProcess.Of(libvirt, ct) : QemuProcess.Of((QmpMonitor)monitor, ct);
            var map = GuestMemoryMap.Resolve(monitor, process, remarks, ct, plugged);
            var ballooned = MemoryRemarks.Add(monitor, map, remarks, ct);
            process.ProveReadable(map.Sections[0].HostAddress);
            return new GuestSession(monitor, process, map, state, new CpuReader(monitor, ct), remarks) { Ballooned = ballooned };
        }
        catch
        {
            process?.Dispose();
            monitor.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Cpus.Dispose();
        Process.Dispose();
        Monitor.Dispose();
    }
}
