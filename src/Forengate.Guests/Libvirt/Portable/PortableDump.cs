using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A view by libvirt's own dump: all memory and the registers of one instant, in the time that writing it takes.</summary>
internal static class PortableDump
{
    /// <summary>How long nobody may read before the watchdog ends who should: the guest stands still meanwhile.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    private const int HeartbeatMilliseconds = 500;

    /// <summary>Firmware, video memory and headers are in a core beside RAM: room for them.</summary>
    private const ulong Others = 1UL << 30;

    /// <param name="session">The guest.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="refused">Why libvirt did not even begin; null otherwise.</param>
    /// <param name="ct">Ends the dump.</param>
    /// <returns>Null when libvirt did not begin.</returns>
    /// <exception cref="GuestException">libvirt made no whole dump; the guest runs, or a remark says that it may not.</exception>
    public static View? Take(PortableSession session, IProgress<CaptureProgress>? progress, out string? refused, CancellationToken ct)
    {
        refused = null;
        var patience = session.Options.Deadline ?? s_patience;
        var size = session.Description.TotalMemory;
        using var file = PortableCapture.Room(session, size, Others, progress, ct);
        using var pipe = CorePipe.Create();
        using var lease = WatchdogLease.Start(session.Options.Watchdog!, session.Monitor);
        lease.Arm(patience);
        var last = Environment.TickCount64;
        try
        {
            pipe.Take(
                session.Monitor.Domain.DumpMemory, file,
                () =>
                {
                    if (Environment.TickCount64 - last < HeartbeatMilliseconds)
                        return;
                    last = Environment.TickCount64;
                    lease.Arm(patience);
                },
                progress, size, ct);
        }
        catch (GuestException e) when (pipe.Received == 0 && e.Failure is GuestFailure.Libvirt or GuestFailure.NoRights)
        {
            refused = e.Message;
            return null;
        }
        finally
        {
            Settle(session, lease);
        }
        file.Complete(onTurn: null);
        return Open(session, file, pipe);
    }

    /// <summary>libvirt lets the guest run when its dump ends, however it ends. Where it does not, or does not say, the guest is continued: by us, else by the watchdog.</summary>
    private static void Settle(PortableSession session, WatchdogLease lease)
    {
        try
        {
            // A guest that stood still before is left so.
            if (session.Running && session.StateNow().State is GuestState.Paused)
                session.Monitor.Continue();
            lease.Disarm();
        }
        catch (GuestException) when (session.Running)
        {
            if (!lease.HandOver())
                session.Remarks.Add("the guest may still be stopped: libvirt does not answer; continue it by hand (virsh resume)");
        }
        catch (GuestException)
        {
            lease.Disarm();
        }
    }

    private static View Open(PortableSession session, CopyFile file, CorePipe pipe)
    {
        View core;
        try
        {
            core = ImageReader.Open(file.Path, new ImageOpenOptions { Format = ElfCoreFormat.FormatName });
        }
        catch (ImageFormatException e)
        {
            throw new GuestException(GuestFailure.Libvirt, $"{session.Target}: what libvirt dumped can't be read: {e.Message.Replace(file.Path, "the core", StringComparison.Ordinal)}", e);
        }
        session.Remarks.AddRange(core.Origin.Remarks);
        session.Damage.AddRange(core.Origin.Damage);
        var level = core.Cpus.Count > 0 ? ConsistencyLevel.Instant : ConsistencyLevel.MemoryOnly;
        return new View(
            core.Memory, core.Cpus,
            new Consistency(level, session.Running ? "the guest stood still while libvirt dumped its memory" : "the guest already stood still while libvirt dumped its memory"),
            session.Origin("live guest, by libvirt's dump", ["libvirt's memory-only dump"]) with { StoodStill = session.Running ? pipe.Duration : null },
            core);
    }
}
