using System.Diagnostics;
using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>Takes a view of a guest by libvirt's own means: its dump, its memory peek, its suspend and resume. Needs nothing of QEMU's process, so the daemon may be anywhere.</summary>
internal static class PortableCapture
{
    /// <summary>How long one step of a copy may take before the watchdog continues the guest.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan s_holdDeadline = TimeSpan.FromSeconds(60);

    /// <summary>What is asked for at a time: the remote protocol's limit.</summary>
    private const int Step = 4 << 20;

    /// <summary>Takes a view where libvirt's own means are asked for or the only ones; null where QEMU's process serves.</summary>
    /// <exception cref="GuestException">One line: what failed, on what, what to try.</exception>
    public static View? TryTake(GuestTarget target, CaptureOptions options, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        if (PortableSession.TryOpen(target, options, ct) is not { } session)
            return null;
        try
        {
            var view = Take(session, progress, ct);
            progress?.Report(new CaptureProgress(CapturePhase.Done, view.Memory.Size, view.Memory.Size));
            return view;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    private static View Take(PortableSession session, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        switch (session.Options.Mode)
        {
            case CaptureMode.Live:
                return InPlace(session, hold: null, ct);
            case CaptureMode.HoldStopped:
                return session.Running ? Hold(session, ct) : InPlace(session, hold: null, ct);
            case CaptureMode.Snapshot:
                throw PortablePlan.NoSnapshot(session);
            default:
                break;
        }
        if (!session.IsQemu)
            return ForeignDump.Take(session, ct);
        PortablePlan.RefuseIfTooSlow(session, ct);
        if (PortablePlan.Dumps(session))
        {
            if (PortableDump.Take(session, progress, out var refused, ct) is { } dumped)
                return Ended(dumped, session);
            session.Remarks.Add($"libvirt made no dump into our pipe ({refused}): its memory peek was used");
        }
        return session.Running ? Copy(session, progress, ct) : InPlace(session, hold: null, ct);
    }

    /// <summary>Room for a copy: in memory, or all of it on a disk where the host lacks some of that.</summary>
    /// <param name="session">The guest.</param>
    /// <param name="size">Bytes of RAM.</param>
    /// <param name="more">Bytes that may come besides.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="ct">Ends it.</param>
    /// <exception cref="GuestException">The host has neither.</exception>
    public static CopyFile Room(PortableSession session, ulong size, ulong more, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var onDisk = Math.Min(more, SnapshotStore.OthersOnDisk);
        if (CopyRoom.FindWhole(size, onDisk, session.Options, out var obstacle) is not { } room)
            throw new GuestException(obstacle!.Value.Failure, $"{session.Target}: no room for a copy of the guest's memory: {obstacle.Value.Reason}, or look at it with a command that holds the guest");
        if (room.Describe(snapshot: false) is { } spilled)
            session.Remarks.Add(spilled);
        CopyFile? file = room.Folder is { } folder ? DiskCopy.Create(folder, room.Spilled + onDisk) : MemoryFile.Create(size, size + more, progress, ct);
        return file ?? throw new GuestException(
            GuestFailure.NoMemory, $"{session.Target}: a copy of the guest's {size >> 20} MiB needs more memory than the host gives us after all; free some, or look at it with a command that holds the guest");
    }

    /// <summary>A view that needs the session no more.</summary>
    private static View Ended(View view, PortableSession session)
    {
        session.Dispose();
        return view;
    }

    private static View Hold(PortableSession session, CancellationToken ct)
    {
        // Everything that takes time happens while the guest runs.
        var ranges = session.FindRam(ct);
        var hold = Stop(session, session.Options.Deadline ?? s_holdDeadline, out _, ct);
        try
        {
            return InPlace(session, hold, ct, ranges);
        }
        catch
        {
            hold.Dispose();
            throw;
        }
    }

    private static GuestHold Stop(PortableSession session, TimeSpan deadline, out WatchdogLease lease, CancellationToken ct)
    {
        lease = WatchdogLease.Start(session.Options.Watchdog!, session.Monitor);
        try
        {
            return GuestHold.Stop(session.Monitor, lease, deadline, ct);
        }
        catch
        {
            lease.Dispose();
            throw;
        }
    }

    /// <summary>A view that peeks as it is asked, of a guest that stands still or runs.</summary>
    private static View InPlace(PortableSession session, GuestHold? hold, CancellationToken ct, List<PhysicalRange>? known = null)
    {
        var ranges = known ?? session.FindRam(ct);
        var cpus = session.ReadCpus(ct);
        var standing = hold is not null || !session.Running;
        var memory = new PeekMemory(session.Monitor, ranges);
        var consistency = !standing ? new Consistency(ConsistencyLevel.Smeared, "the guest ran while its memory was peeked at")
            : new Consistency(cpus.Count > 0 ? ConsistencyLevel.Instant : ConsistencyLevel.MemoryOnly, hold is null
                ? "the guest already stood still and is peeked at in place" : "the guest stands still while this view is open and is peeked at in place");
        var origin = session.Origin("live guest, by libvirt's memory peek", hold is null ? [] : ["suspend"]);
        var end = new PortableEnd(session, memory, hold, standing);
        return new View(memory, cpus, consistency, origin, end, () => end.Complete(origin));
    }

    /// <summary>All memory while the guest stands still.</summary>
    private static View Copy(PortableSession session, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var ranges = session.FindRam(ct);
        var size = ranges.Aggregate(0UL, (sum, range) => sum + range.Length);
        using var file = Room(session, size, more: 0, progress, ct);
        using var hold = Stop(session, session.Options.Deadline ?? s_patience, out var lease, ct);
        var taken = DateTimeOffset.UtcNow;
        var cpus = session.ReadCpus(ct);
        var extents = Fill(session, file, ranges, size, lease, progress, ct);
        hold.Release();
        file.Complete(onTurn: null);
        var consistency = hold.BrokenBy is { } broken
            ? new Consistency(ConsistencyLevel.Smeared, $"{broken}, before all memory was read")
            : new Consistency(cpus.Count > 0 ? ConsistencyLevel.Instant : ConsistencyLevel.MemoryOnly, "the guest stood still while its memory was read");
        var origin = PortableEnd.Finish(session.Origin("live guest, by libvirt's memory peek", ["suspend", "peek", "resume"]) with { TakenAt = taken }, hold);
        return Ended(new View(new FileMemory(MappedFile.Open(file.Path), extents), cpus, consistency, origin), session);
    }

    private static List<FileExtent> Fill(
        PortableSession session, CopyFile file, List<PhysicalRange> ranges, ulong size, WatchdogLease lease, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var extents = new List<FileExtent>();
        var at = 0UL;
        var armed = Stopwatch.GetTimestamp();
        foreach (var range in ranges)
        {
            extents.Add(FileExtent.Stored(range.Start, range.Length, at));
            for (var done = 0UL; done < range.Length;)
            {
                ct.ThrowIfCancellationRequested();
                var space = file.Space((int)Math.Min(Step, range.Length - done));
                var length = space.Length;
                PeekMemory.FetchNow(session.Monitor, range.Start.Value + done, space);
                file.Advance(length);
                done += (ulong)length;
                at += (ulong)length;
                if (Stopwatch.GetElapsedTime(armed) > TimeSpan.FromSeconds(1))
                {
                    armed = Stopwatch.GetTimestamp();
                    lease.Arm(session.Options.Deadline ?? s_patience);
                }
                progress?.Report(new CaptureProgress(CapturePhase.Copying, at, size));
            }
        }
        return extents;
    }

    /// <summary>What ends with a view that peeks: the stop, if it was ours, and the session.</summary>
    private sealed class PortableEnd(PortableSession session, PeekMemory memory, GuestHold? hold, bool standing) : IDisposable
    {
        private string? _moved;

        public void Dispose()
        {
            if (standing && memory.Failure is null && hold?.BrokenBy is null)
                _moved = RunsAgain();
            hold?.Dispose();
            session.Dispose();
        }

        /// <summary>A guest that runs at the end though nobody here continued it has changed while it was read.</summary>
        private string? RunsAgain()
        {
            try
            {
                return session.StateNow().State is GuestState.Running or GuestState.Blocked ? "inconsistent: the guest was continued while it was being read" : null;
            }
            catch (GuestException)
            {
                return "whether the guest stood still to the end could not be asked";
            }
        }

        public ViewOrigin Complete(ViewOrigin origin)
        {
            var finished = hold is null ? origin : Finish(origin with { Actions = ["suspend", "resume"] }, hold);
            return _moved is null ? finished : finished with { Remarks = [.. finished.Remarks, _moved] };
        }

        public static ViewOrigin Finish(ViewOrigin origin, GuestHold hold)
        {
            List<string> remarks = [.. origin.Remarks];
            if (hold.BrokenBy is { } broken)
                remarks.Add($"inconsistent: {broken}");
            if (hold.Failure is { } failure)
                remarks.Add(failure);
            return origin with { StoodStill = hold.StoodStill, Remarks = remarks };
        }
    }
}
