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

    /// <exception cref="GuestException">libvirt made no dump; the guest runs, or the message says that it may not.</exception>
    public static View Take(PortableSession session, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var size = session.Description.TotalMemory;
        using var file = PortableCapture.Room(session, size, size + Others, progress, ct);
        using var pipe = CorePipe.Create();
        using var lease = WatchdogLease.Start(session.Options.Watchdog!, session.Monitor);
        lease.Arm(s_patience);
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
                    lease.Arm(s_patience);
                },
                progress, size, ct);
        }
        finally
        {
            Settle(session, lease);
        }
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

    private static View Open(PortableSession session, MemoryFile file, CorePipe pipe)
    {
        file.SetLength(pipe.Received);
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
