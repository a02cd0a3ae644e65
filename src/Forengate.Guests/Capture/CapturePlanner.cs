using System.Diagnostics;
using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>Picks how a view of a guest is taken, from what QEMU, its process and the host say. Changes nothing.</summary>
internal static class CapturePlanner
{
    /// <summary>What is copied to learn how fast this host copies.</summary>
    private const ulong Trial = 64 << 20;

    /// <summary>Bytes: as many pieces as the runtime counts calls (30) before it compiles better what they take.</summary>
    private const ulong TrialPiece = 1 << 20;

    public static CapturePlan Make(GuestTarget target, GuestSession session, CaptureOptions options, CancellationToken ct)
    {
        var facts = Facts(session, options, ct);
        var harm = Harm(session);
        if (!session.State.Running)
        {
            return harm is not null && !session.State.HasCrashed
                ? new CapturePlan(target.ToString(), null, $"the guest already stands still ({session.State.Status}), and must not be read: {harm}", [], facts)
                : new CapturePlan(target.ToString(), CaptureMode.HoldStopped, $"the guest already stands still ({session.State.Status}): it is read in place, neither stopped nor continued", [], facts);
        }
        var live = new PlannedWay(CaptureMode.Live, harm, harm is null ? null : GuestFailure.NoMemory, TimeSpan.Zero, 0);
        PlannedWay[] ways = [Snapshot(session, options, ct), Stop(session, options, ct), live];
        var (snapshot, stop) = (ways[0], ways[1]);
        if (stop.Swapped >> 20 != 0)
            facts.Add($"{stop.Swapped >> 20} MiB of the guest's memory lie in the host's swap: they are read before it is stopped, and take as much host memory");
        if (session.Monitor is LibvirtMonitor)
            ways = [.. ways[..2], PortablePlan.Beside(session.Map.Size, options), ways[2]];
        var (mode, reason) = options.Mode switch
        {
            CaptureMode.Live => harm is null ? (CaptureMode.Live, "asked for: the guest runs on and the view is smeared") : ((CaptureMode?)null, $"live: {harm}"),
            CaptureMode.HoldStopped => (CaptureMode.HoldStopped, "the guest is held while it is looked at"),
            CaptureMode.StopAndCopy => stop.Obstacle is null ? (CaptureMode.StopAndCopy, "asked for") : ((CaptureMode?)null, $"stop: {stop.Obstacle}"),
            CaptureMode.Snapshot => snapshot.Obstacle is null ? (CaptureMode.Snapshot, "asked for") : (null, $"snapshot: {snapshot.Obstacle}"),
            _ when snapshot.Obstacle is null => (CaptureMode.Snapshot, "the shortest pause, and all registers"),
            _ when stop.Obstacle is null => (CaptureMode.StopAndCopy, $"no background snapshot: {snapshot.Obstacle}"),
            _ => (null, $"snapshot: {snapshot.Obstacle}; stop: {stop.Obstacle}"),
        };
        if (Array.Find(ways, way => way.Mode == mode)?.Room?.Describe(snapshot: mode == CaptureMode.Snapshot) is { } spilled)
            facts.Add(spilled);
        return new CapturePlan(target.ToString(), mode, reason, ways, facts);
    }

    /// <summary>What can't be done is said, with what would allow it.</summary>
    public static GuestException Impossible(CapturePlan plan) => new(
        plan.Ways.Select(way => way.Failure).LastOrDefault(failure => failure is not null) ?? GuestFailure.BadState,
        $"{plan.Target}: no way to take memory of one instant: {plan.Reason}{(plan.Ways.Any(static way => way is { Mode: CaptureMode.Live, Obstacle: null }) ? "; --consistency live reads the running guest" : "")}");

    /// <summary>How long copying all RAM takes on this host, by trying it on a little.</summary>
    /// <param name="session">The guest.</param>
    /// <param name="threads">That copy.</param>
    /// <param name="swapped">Some of it may lie in the host's swap, and will not when the guest is stopped.</param>
    /// <param name="ct">Ends it: a swap is slow.</param>
    private static TimeSpan ExpectedCopy(GuestSession session, int threads, bool swapped, CancellationToken ct)
    {
        using var source = new LiveMemory(session.Map, session.Process, standing: false);
        var section = session.Map.Sections.MaxBy(section => section.Length);
        var length = Math.Min(section.Length, Trial);
        using var region = MappedRegion.Anonymous(length);
        if (region is null || !region.Populate(0, length))
            return TimeSpan.Zero;
        source.PrepareToCopy(threads);
        source.Prepare(section, 0, length);
        if (swapped)
            Try();
        var started = Stopwatch.GetTimestamp();
        Try();
        return Stopwatch.GetElapsedTime(started) * ((double)session.Map.Size / length);

        unsafe void Try()
        {
            var filled = new FilledPages(region.Start, length);
            CopyThreads.Run(length, threads, (offset, piece) => source.CopySection(section, offset, region.Start + offset, piece, filled), ct, piece: TrialPiece);
        }
    }

    private static PlannedWay Snapshot(GuestSession session, CaptureOptions options, CancellationToken ct)
    {
        var pause = SnapshotFacts.ExpectedPause(session);
        var others = SnapshotFacts.AllocatedBytes(session);
        var need = session.Map.Size + others;
        if (SnapshotFacts.Obstacle(session, ct) is { } reason)
            return new PlannedWay(CaptureMode.Snapshot, reason, GuestFailure.NoRights, pause, need);
        var room = CopyRoom.Find(session.Map.Size, others, SnapshotStore.OthersOnDisk, options, out var none);
        var (obstacle, failure) = none ?? GroupObstacle(session, others) ?? TooLong(pause, options);
        return new PlannedWay(CaptureMode.Snapshot, obstacle, failure, pause, need) { Room = obstacle is null ? room : null };
    }

    /// <summary>How the guest would be stopped and copied.</summary>
    public static PlannedWay Stop(GuestSession session, CaptureOptions options, CancellationToken ct)
    {
        var swapped = RamUse.SwappedOf(session.Map, session.Process.Id);
        var need = session.Map.Size + swapped;
        // Before anything is tried: that reads memory, too.
        if (GroupObstacle(session, swapped) is var (reason, kind))
            return new PlannedWay(CaptureMode.StopAndCopy, reason, kind, null, need) { Swapped = swapped };
        var pause = ExpectedCopy(session, options.CopyingThreads, swapped != 0, ct);
        var room = CopyRoom.Find(session.Map.Size, swapped, 0, options, out var none);
        if (room is { Spilled: > 0 })
            pause = (pause * ((double)room.Memory / room.Size)) + room.Writing;
        var (obstacle, failure) = none ?? TooLong(pause, options);
        return new PlannedWay(CaptureMode.StopAndCopy, obstacle, failure, pause, need) { Room = obstacle is null ? room : null, Swapped = swapped };
    }

    /// <summary>Why all of a guest must not be read, by whatever way: QEMU's control group has no room for what the host swapped out. Null where it may.</summary>
    public static string? Harm(GuestSession session) => ControlGroupMemory.Obstacle(session.Process.Id, RamUse.SwappedOf(session.Map, session.Process.Id));

    private static (string Reason, GuestFailure Failure)? GroupObstacle(GuestSession session, ulong more) =>
        ControlGroupMemory.Obstacle(session.Process.Id, more) is { } reason ? (reason, GuestFailure.NoMemory) : null;

    private static (string?, GuestFailure?) TooLong(TimeSpan pause, CaptureOptions options) => options.MaxPause is { } most && pause > most
        ? (string.Create(CultureInfo.InvariantCulture, $"the guest is expected to stand still for about {pause.TotalMilliseconds:0} ms, more than the {most.TotalMilliseconds:0} ms allowed"), GuestFailure.TooSlow)
        : (null, null);

    private static List<string> Facts(GuestSession session, CaptureOptions options, CancellationToken ct)
    {
        var version = SnapshotFacts.QemuVersion(session.Monitor, ct);
        var facts = new List<string>
        {
            $"QEMU {version?.ToString() ?? "of unknown version"}, process {session.Process.Id}",
            $"{session.Map.Size >> 20} MiB of RAM in {session.Map.Sections.Count} parts, {string.Join(" and ", SnapshotFacts.Backends(session).Order().Select(Name))}",
        };
        if ((options.AvailableMemory ?? HostMemory.Available()) is { } available)
            facts.Add($"{available >> 20} MiB of host memory are free");
        if (version < SnapshotFacts.CancelSafeSince)
            facts.Add($"this QEMU hangs a guest whose snapshot is cancelled: it is read to its end whatever happens, by the watchdog if need be");
        if (session.Monitor is LibvirtMonitor)
            facts.Add("asking QEMU through libvirt marks the domain as tainted (custom-monitor); a QMP socket of its own (qmp:SOCKET) does not, nor do libvirt's own dump and peeks (--means libvirt)");
        facts.Add(DeviceStateFile.Obstacle(session.Monitor, ct) is { } without
            ? $"stopped, {DeviceStateFile.Missing}: {without}"
            : "stopped, too, it gives all registers (LSTAR, YMM) by the state of its devices");
        facts.AddRange(session.Remarks);
        return facts;
    }

    private static string Name(RamBackend backend) => backend switch
    {
        RamBackend.Anonymous => "anonymous memory",
        RamBackend.SharedMemory => "shared memory",
        RamBackend.HugePages => "huge pages",
        _ => "a file on a disk",
    };
}
