using System.Diagnostics;
using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>Says how a view would be taken by libvirt's own means, and why; changes nothing.</summary>
internal static class PortablePlan
{
    /// <summary>What libvirt's dump takes: measured with libvirt 9.0 and QEMU 7.2 (docs/capture.md); a slower host takes longer.</summary>
    private const double DumpSecondsPerGiB = 1.1;
    private const double DumpSecondsAtLeast = 0.1;

    /// <summary>What is peeked at to learn how fast it goes.</summary>
    private const int Trial = 8 << 20;

    /// <summary>The plan, where libvirt's own means would be used; null where QEMU's process serves.</summary>
    public static CapturePlan? TryMake(GuestTarget target, CaptureOptions options, CancellationToken ct)
    {
        using var session = PortableSession.TryOpen(target, options, ct);
        return session is null ? null : Make(session, ct);
    }

    /// <summary>True where libvirt's dump is tried before its memory peek.</summary>
    public static bool Dumps(PortableSession session) => session.IsQemu && session.SharesFiles && session.Options.Means is CaptureMeans.Auto or CaptureMeans.Libvirt;

    public static TimeSpan ExpectedDump(ulong size) => TimeSpan.FromSeconds(DumpSecondsAtLeast + (size / (double)(1UL << 30) * DumpSecondsPerGiB));

    /// <summary>libvirt's dump as one of the ways for a guest whose QEMU process is at hand as well.</summary>
    public static PlannedWay Beside(ulong size, CaptureOptions options)
    {
        var room = CopyRoom.FindWhole(size, SnapshotStore.OthersOnDisk, options, out var none);
        var pause = ExpectedDump(size) + (room?.Writing ?? default);
        var (obstacle, failure) = none ?? TooLong(pause, options);
        return new PlannedWay(CaptureMode.LibvirtDump, obstacle, failure, pause, size) { Room = obstacle is null ? room : null };
    }

    public static GuestException NoSnapshot(PortableSession session) => new(
        GuestFailure.Remote,
        $"{session.Target}: a background snapshot needs QEMU's process and monitor on this host, and libvirt's own means are used ({session.Reason}); --consistency stop, or auto, stops the guest instead");

    /// <exception cref="GuestException">The guest would stand still longer than is allowed.</exception>
    public static void RefuseIfTooSlow(PortableSession session, CancellationToken ct)
    {
        if (session.Options.MaxPause is null || !session.Running)
            return;
        var way = Dumps(session) ? Dump(session) : Peek(session, ct);
        if (way.Failure == GuestFailure.TooSlow)
            throw new GuestException(GuestFailure.TooSlow, $"{session.Target}: {way.Obstacle}; allow more or read it live");
    }

    private static CapturePlan Make(PortableSession session, CancellationToken ct)
    {
        List<PlannedWay> ways = [Dump(session), Peek(session, ct), new(CaptureMode.Live, session.IsQemu ? null : OnlyQemu(session), session.IsQemu ? null : GuestFailure.NotQemu, TimeSpan.Zero, 0)];
        var (mode, reason) = session.Options.Mode switch
        {
            CaptureMode.Live => ways[2].Obstacle is { } no ? ((CaptureMode?)null, no) : (CaptureMode.Live, "asked for: the guest runs on and the view is smeared"),
            CaptureMode.Snapshot => (null, NoSnapshot(session).Message),
            _ when ways[0].Obstacle is null => (CaptureMode.LibvirtDump, session.Reason),
            _ when ways[1].Obstacle is null => (CaptureMode.LibvirtPeek, $"{session.Reason}; {ways[0].Obstacle}"),
            _ => (null, $"dump: {ways[0].Obstacle}; peek: {ways[1].Obstacle}"),
        };
        var facts = Facts(session);
        if (ways.Find(way => way.Mode == mode)?.Room?.Describe(snapshot: false) is { } spilled)
            facts.Add(spilled);
        return new CapturePlan(session.Target.ToString(), mode, reason, ways, facts);
    }

    private static PlannedWay Dump(PortableSession session)
    {
        var size = session.Description.TotalMemory;
        var room = CopyRoom.FindWhole(size, SnapshotStore.OthersOnDisk, session.Options, out var none);
        var pause = ExpectedDump(size) + (room?.Writing ?? default);
        var (obstacle, failure) = none ?? TooLong(pause, session.Options);
        if (!session.SharesFiles)
            (obstacle, failure) = ("the daemon is on another host and can't write to a pipe of ours", GuestFailure.Remote);
        else if (session.IsQemu && !Dumps(session))
            (obstacle, failure) = ($"--means {session.Options.Means.ToString().ToLowerInvariant()} leaves it out", GuestFailure.Remote);
        return new PlannedWay(CaptureMode.LibvirtDump, obstacle, failure, session.Running ? pause : TimeSpan.Zero, size) { Room = obstacle is null ? room : null };
    }

    private static PlannedWay Peek(PortableSession session, CancellationToken ct)
    {
        var size = session.Description.TotalMemory;
        if (!session.IsQemu)
            return new PlannedWay(CaptureMode.LibvirtPeek, OnlyQemu(session), GuestFailure.NotQemu, null, size);
        try
        {
            // A guest that stands still is peeked at in place: nothing is copied.
            (string, GuestFailure)? none = null;
            var room = session.Running ? CopyRoom.FindWhole(size, 0, session.Options, out none) : null;
            var pause = ExpectedPeek(session, size, ct) + (room?.Writing ?? default);
            var (obstacle, failure) = none ?? TooLong(pause, session.Options);
            return new PlannedWay(CaptureMode.LibvirtPeek, obstacle, failure, session.Running ? pause : TimeSpan.Zero, size) { Room = obstacle is null ? room : null };
        }
        catch (GuestException e)
        {
            return new PlannedWay(CaptureMode.LibvirtPeek, e.Message, e.Failure, null, size);
        }
    }

    /// <summary>By trying it on a little: how fast a peek is, is the network's to say.</summary>
    private static TimeSpan ExpectedPeek(PortableSession session, ulong size, CancellationToken ct)
    {
        // Above the first MiB there is nothing but RAM in a PC.
        const ulong FirstMiB = 1 << 20;
        if (session.Description.Machine is null)
            throw new GuestException(GuestFailure.MemoryMap, "libvirt names no machine type");
        var length = (int)Math.Min(Trial, Math.Max(Page.Size, session.Description.InitialMemory / 2));
        ct.ThrowIfCancellationRequested();
        var started = Stopwatch.GetTimestamp();
        PeekMemory.FetchNow(session.Monitor, FirstMiB, new byte[length]);
        return Stopwatch.GetElapsedTime(started) * ((double)size / length);
    }

    private static string OnlyQemu(PortableSession session) => $"libvirt's {session.Monitor.Driver} driver is not QEMU's, and only QEMU's memory can be peeked at";

    private static (string?, GuestFailure?) TooLong(TimeSpan pause, CaptureOptions options)
    {
        if (options.MaxPause is { } most && pause > most)
        {
            return (string.Create(CultureInfo.InvariantCulture,
                $"the guest is expected to stand still for about {pause.TotalMilliseconds:0} ms, more than the {most.TotalMilliseconds:0} ms allowed"), GuestFailure.TooSlow);
        }
        return (null, null);
    }

    private static List<string> Facts(PortableSession session)
    {
        var description = session.Description;
        List<string> facts =
        [
            $"libvirt's {session.Monitor.Driver} driver at {session.Monitor.Uri}: {session.Reason}",
            $"{description.TotalMemory >> 20} MiB of memory by libvirt's description, machine {description.Machine ?? "unknown"}",
        ];
        if (!session.Running)
            facts.Add($"the guest already stands still ({session.State.ToString().ToLowerInvariant()}) and is left so");
        if ((session.Options.AvailableMemory ?? HostMemory.Available()) is { } available)
            facts.Add($"{available >> 20} MiB of host memory are free");
        facts.Add(!session.IsQemu ? "its core is read if it is of a format that is known"
            : Dumps(session) ? "libvirt's dump brings the registers; nothing marks the domain as tainted"
            : session.MayAskMonitor ? "registers and memory map are asked of QEMU's monitor through libvirt, which marks the domain as tainted (custom-monitor); --means peek does not, and has no registers"
            : "registers stay unknown; nothing marks the domain as tainted");
        return facts;
    }
}
