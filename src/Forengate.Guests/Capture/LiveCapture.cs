using System.Diagnostics;
using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>Takes a view of a live guest.</summary>
public static class LiveCapture
{
    private static readonly TimeSpan s_leastDeadline = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_holdDeadline = TimeSpan.FromSeconds(60);

    /// <summary>Memory maps that change between looking and stopping (a DIMM is plugged, firmware starts) are looked at again this often.</summary>
    private const int Attempts = 3;

    /// <summary>How often what is done while a guest stands still is done before.</summary>
    private const int Rehearsals = 3;

    /// <summary>
    /// Takes a view of a guest. A guest that already stands still is neither stopped nor continued, and is read in place whatever the mode. Whatever happens, a guest that was
    /// stopped here runs again: when this returns (<see cref="CaptureMode.StopAndCopy"/>), when the view is disposed (<see cref="CaptureMode.HoldStopped"/>), on errors and
    /// cancellation, and by the watchdog's hand when this process ends.
    /// </summary>
    /// <exception cref="GuestException">One line: what failed, on what, what to try.</exception>
    public static View Take(GuestTarget target, CaptureOptions options, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(options);
        if (options.Mode != CaptureMode.Live && options.Watchdog is null)
            throw new ArgumentException("a guest is stopped only under a watchdog: set CaptureOptions.Watchdog", nameof(options));
        progress?.Report(new CaptureProgress(CapturePhase.Connecting, 0, 0));
        try
        {
            if (PortableCapture.TryTake(target, options, progress, ct) is { } portable)
                return portable;
            IReadOnlyList<PhysicalRange>? plugged = null;
            for (var attempt = 1; ; attempt++)
            {
                var session = GuestSession.Open(target, options.ConnectUri, ct, plugged);
                try
                {
                    if (!session.State.Running || options.Mode is CaptureMode.Live or CaptureMode.HoldStopped)
                        RefuseWhereItHarms(target, session, options);
                    var view = !session.State.Running ? InPlace(target, session, hold: null, ct)
                        : options.Mode switch
                        {
                            CaptureMode.Live => Live(target, session, ct),
                            CaptureMode.Snapshot => Snapshot(target, session, options, progress, ct),
                            CaptureMode.Auto => Best(target, session, options, progress, ct),
                            CaptureMode.HoldStopped => Hold(target, session, options, ct),
                            _ => Copy(target, session, options, progress, ct),
                        };
                    if (view is not null)
                    {
                        progress?.Report(new CaptureProgress(CapturePhase.Done, session.Map.Size, session.Map.Size));
                        return view;
                    }
                }
                catch
                {
                    session.Dispose();
                    throw;
                }
                session.Dispose();
                plugged = session.SettledBlocks;
                if (attempt == Attempts)
                    throw new GuestException(GuestFailure.BadState, $"{target}: the guest's memory map changed each time it was looked at; try again when it has started");
            }
        }
        catch (QmpRefusedException e)
        {
            throw new GuestException(GuestFailure.MonitorFailed, $"{target}: {e.Message}", e);
        }
    }

    /// <summary>Says how a view would be taken with these options, and why; changes nothing.</summary>
    /// <exception cref="GuestException">The guest can't be seen at all.</exception>
    public static CapturePlan Plan(GuestTarget target, CaptureOptions options, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(options);
        try
        {
            if (PortablePlan.TryMake(target, options, ct) is { } portable)
                return portable;
            using var session = GuestSession.Open(target, options.ConnectUri, ct);
            return CapturePlanner.Make(target, session, options, ct);
        }
        catch (QmpRefusedException e)
        {
            throw new GuestException(GuestFailure.MonitorFailed, $"{target}: {e.Message}", e);
        }
    }

    /// <summary>A guest that is read in place has no plan; what its control group has no room for must not be read all the same. One that has crashed has nothing more to lose.</summary>
    private static void RefuseWhereItHarms(GuestTarget target, GuestSession session, CaptureOptions options)
    {
        if (CapturePlanner.Harm(session) is not { } reason)
            return;
        if (options.ReadsAll && !session.State.HasCrashed)
            throw new GuestException(GuestFailure.NoMemory, $"{target}: if all is read, {reason}");
        session.Remarks.Add($"if all of its memory is read, {reason}");
    }

    private static View? Snapshot(GuestTarget target, GuestSession session, CaptureOptions options, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var plan = CapturePlanner.Make(target, session, options, ct);
        return plan.Mode is null ? throw CapturePlanner.Impossible(plan) : SnapshotCapture.Take(target, session, RoomOf(plan), options, progress, ct);
    }

    private static View? Best(GuestTarget target, GuestSession session, CaptureOptions options, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var plan = CapturePlanner.Make(target, session, options, ct);
        switch (plan.Mode)
        {
            case null:
                throw CapturePlanner.Impossible(plan);
            case CaptureMode.Snapshot:
                try
                {
                    return SnapshotCapture.Take(target, session, RoomOf(plan), options, progress, ct);
                }
                catch (GuestException e) when (e.InnerException is QmpRefusedException refused)
                {
                    // What can be seen from outside did not speak against it, and QEMU knows better.
                    session.Remarks.Add($"the guest was stopped and copied: QEMU makes no background snapshot of it ({refused.Message})");
                    break;
                }
            default:
                session.Remarks.Add($"the guest was stopped and copied: {plan.Reason}");
                break;
        }
        return Copy(target, session, options, progress, ct);
    }

    private static CopyRoom RoomOf(CapturePlan plan) => plan.Ways.First(way => way.Mode == plan.Mode).Room!;

    private static View Live(GuestTarget target, GuestSession session, CancellationToken ct)
    {
        var cpus = HmpRegisters.Parse(session.Monitor.TryHuman("info registers -a", ct));
        var memory = new LiveMemory(session.Map, session.Process, standing: false);
        var origin = Origin(target, session, []);
        var watched = new WatchedMemory(memory);
        var end = new SessionEnd(session, memory, hold: null, standing: false);
        return new View(watched, cpus, new Consistency(ConsistencyLevel.Smeared, "the guest ran while its memory was read"), origin, end, () => end.Complete(origin) with { Smear = watched.Score });
    }

    private static View? Hold(GuestTarget target, GuestSession session, CaptureOptions options, CancellationToken ct)
    {
        session.Cpus.Prepare(session.Remarks, ct);
        var watchdog = WatchdogLease.Start(options.Watchdog!, session.Monitor);
        var hold = Stop(session, watchdog, options.Deadline ?? s_holdDeadline, ct);
        try
        {
            if (session.Map.StillHolds(session.Monitor, ct))
                return InPlace(target, session, hold, ct);
        }
        catch
        {
            hold.Dispose();
            throw;
        }
        hold.Dispose();
        return null;
    }

    private static GuestHold Stop(GuestSession session, WatchdogLease watchdog, TimeSpan deadline, CancellationToken ct, bool throughSignals = false, bool calm = false)
    {
        try
        {
            if (calm)
                BackgroundCompiler.AwaitCalm(ct);
            return GuestHold.Stop(session.Monitor, watchdog, deadline, ct, throughSignals);
        }
        catch
        {
            watchdog.Dispose();
            throw;
        }
    }

    /// <summary>A view of a guest that stands still, by our hand or not, without a copy.</summary>
    private static View InPlace(GuestTarget target, GuestSession session, GuestHold? hold, CancellationToken ct)
    {
        var taken = DateTimeOffset.UtcNow;
        session.Settle(ct);
        if (hold is null && DeviceStateFile.IsCalm(session.State))
            session.Cpus.Prepare(session.Remarks, ct);
        var cpus = session.Cpus.Read(session.Remarks, ct);
        var reason = hold is null
            ? $"the guest already stood still ({session.State.Status}) and is read in place"
            : "the guest stands still while this view is open and is read in place";
        var origin = Origin(target, session, hold is null ? [] : ["stop"]) with { TakenAt = taken };
        var live = new LiveMemory(session.Map, session.Process, standing: true);
        var marks = new List<string>();
        var memory = session.Ballooned == 0 ? live : GivenBackMemory.Over(live, live.FindGivenBack(), marks);
        origin = origin with { Remarks = [.. origin.Remarks, .. marks] };
        var end = new SessionEnd(session, live, hold, standing: true);
        return new View(memory, cpus, new Consistency(ConsistencyLevel.Instant, reason), origin, end, () => end.Complete(origin));
    }

    private static View? Copy(GuestTarget target, GuestSession session, CaptureOptions options, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var threads = options.CopyingThreads;
        var way = CapturePlanner.Stop(session, options, ct);
        if (way.Obstacle is { } obstacle)
        {
            // What must not even be tried must not be read in any other way.
            var others = way.Pause is null ? "" : "; or hold it stopped and read it in place, or read it live";
            throw new GuestException(way.Failure ?? GuestFailure.BadState, $"{target}: the guest was not stopped: {obstacle}{others}");
        }
        var room = way.Room!;
        var copy = CopiedMemory.Prepare(session.Map.Ranges, room, threads, progress, ct) ?? throw TooLittle(target, room);
        try
        {
            using var source = new LiveMemory(session.Map, session.Process, standing: false);
            if (room.Describe(snapshot: false) is { } spilled)
                session.Remarks.Add(spilled);
            var deadline = options.Deadline ?? TimeSpan.FromTicks(Math.Max(s_leastDeadline.Ticks, 4 * way.Pause!.Value.Ticks));
            session.Cpus.Prepare(session.Remarks, ct);
            CopiedMemory.MakeReady(source, session.Map, threads, ct);
            var isLong = way.Pause >= options.LongPause;
            if (isLong)
                BackgroundCompiler.AwaitCalm(ct);
            copy.CopyAhead(source, session.Map, session.Ballooned != 0, threads, progress, ct);
            if (way.Swapped != 0)
                Fetched(session, source, way.Swapped, threads, ct);
            if (!Rehearse(session, isLong, ct))
            {
                copy.Dispose();
                return null;
            }
            var ahead = source.CopiedBytes;
            using var copying = BackgroundCopy.Prepare(copy, source, session.Map, threads, progress, ct);
            var watchdog = WatchdogLease.Start(options.Watchdog!, session.Monitor);
            using var hold = Stop(session, watchdog, deadline, ct, options.GoesOnThroughSignals, calm: isLong);
            var taken = DateTimeOffset.UtcNow;
            // Before anything is copied: where the kernel does not tell which pages are absent without reading them, that gives them some.
            var given = session.Ballooned == 0 ? null : source.FindGivenBack();
            // Nothing changes while the guest stands still: QEMU answers while the memory is copied.
            copying.Begin();
            if (!session.Map.StillHolds(session.Monitor, ct) || !session.Settle(ct))
            {
                copying.Dispose();
                copy.Dispose();
                return null;
            }
            var cpus = session.Cpus.Read(session.Remarks, ct);
            var whole = copying.Wait();
            hold.Release();
            if (!whole || session.Process.HasEnded)
                throw session.Process.Vanished();
            var copied = source.CopiedBytes - ahead;
            var absent = copied < session.Map.Size ? "; for the rest the host has no pages" : "";
            session.Remarks.Add(string.Create(
                CultureInfo.InvariantCulture, $"copying {copied >> 20} MiB took {copying.Took.TotalMilliseconds:0.0} ms of the pause ({threads} threads){absent}"));
            var memory = UnpluggedMemory.Over(copy, session.Map);
            if (session.Ballooned != 0)
                memory = GivenBackMemory.Over(memory, given, session.Remarks);
            var view = new View(memory, cpus, Judge(hold), Finish(Origin(target, session, ["stop", "copy", "cont"]) with { TakenAt = taken }, session, hold, copy.MissingPages));
            session.Dispose();
            return view;
        }
        catch
        {
            copy.Dispose();
            throw;
        }
    }

    /// <summary>What lay in the host's swap has been read: it is made ready like the rest.</summary>
    private static void Fetched(GuestSession session, LiveMemory source, ulong swapped, int threads, CancellationToken ct)
    {
        CopiedMemory.MakeReady(source, session.Map, threads, ct);
        if (swapped >> 20 == 0)
            return;
        var left = RamUse.SwappedOf(session.Map, session.Process.Id);
        session.Remarks.Add(SwapRemark(swapped, left));
    }

    internal static string SwapRemark(ulong swapped, ulong left) => $"{swapped >> 20} MiB of the guest's memory lay in the host's swap, and were read before it was stopped"
        + (left >> 20 == 0 ? "" : $"; {left >> 20} MiB lay there again, and it stood still longer for them");

    /// <summary>
    /// Does while the guest runs what is done when it stands, but for the copying, so that no code is made ready then; of a guest that will stand for longer often enough for the runtime, which
    /// counts calls by now, so that what it wants to compile better is done with, too. False when the guest's memory has changed since it was planned.
    /// </summary>
    private static bool Rehearse(GuestSession session, bool isLong, CancellationToken ct)
    {
        if (!session.Map.StillHolds(session.Monitor, ct))
            return false;
        // The runtime counts 30 calls of each part: of most there are some at a time.
        for (var i = 0; isLong && i < Rehearsals; i++)
        {
            session.Cpus.Rehearse(ct);
            if (!session.Map.StillHolds(session.Monitor, ct))
                return false;
        }
        return true;
    }

    internal static GuestException TooLittle(GuestTarget target, CopyRoom room) => new(
        GuestFailure.NoMemory,
        $"{target}: the host gave no {room.Memory >> 20} MiB of memory for the copy of the guest, and {(HostMemory.Available() ?? 0) >> 20} MiB are free; free some, or hold the guest stopped and read it in place");

    private static Consistency Judge(GuestHold hold) => hold.BrokenBy is { } reason
        ? new Consistency(ConsistencyLevel.Smeared, $"{reason}, before all memory was copied")
        : new Consistency(ConsistencyLevel.Instant, "the guest stood still while its memory was copied");

    private static ViewOrigin Origin(GuestTarget target, GuestSession session, IReadOnlyList<string> actions) => new()
    {
        Target = target.ToString(),
        Format = "live guest",
        Producer = session.Monitor is QmpMonitor { QemuVersion: { Length: > 0 } version } ? "QEMU " + version : "QEMU",
        TakenAt = DateTimeOffset.UtcNow,
        Actions = actions,
        Remarks = [.. session.Remarks, .. session.Monitor.Remarks],
    };

    /// <summary>Adds what is known only when the guest runs again.</summary>
    internal static ViewOrigin Finish(ViewOrigin origin, GuestSession session, GuestHold hold, int missingPages)
    {
        List<string> remarks = [.. origin.Remarks];
        if (session.Monitor.LastStopByEvents is { } byEvents)
            remarks.Add(string.Create(CultureInfo.InvariantCulture, $"by QEMU's own STOP and RESUME events the guest stood still for {byEvents.TotalMilliseconds:0.0} ms"));
        if (hold.BrokenBy is { } broken)
            remarks.Add($"inconsistent: {broken}");
        if (hold.Failure is { } failure)
            remarks.Add(failure);
        if (missingPages > 0)
            remarks.Add($"{missingPages} pages of RAM could not be read from QEMU");
        return origin with { StoodStill = hold.StoodStill, Remarks = remarks };
    }

    /// <summary>What ends with a view that reads in place: the stop, if it was ours, and the session.</summary>
    private sealed class SessionEnd(GuestSession session, LiveMemory memory, GuestHold? hold, bool standing) : IDisposable
    {
        private string? _moved;
        private bool _vanished;

        public void Dispose()
        {
            _vanished = memory.IsGone();
            if (standing && !_vanished && hold?.BrokenBy is null)
                _moved = RunsAgain();
            else if (!standing && !_vanished)
                _moved = MapChanged();
            hold?.Dispose();
            session.Dispose();
        }

        /// <summary>Memory that went while a running guest was read may have been read from what came after it in QEMU's process.</summary>
        private string? MapChanged()
        {
            try
            {
                return session.Map.StillHolds(session.Monitor, CancellationToken.None) ? null : "inconsistent: memory was plugged or unplugged while the guest was being read";
            }
            catch (Exception e) when (e is GuestException or IOException)
            {
                return "whether the guest's memory map stayed the same could not be asked";
            }
        }

        /// <summary>A guest that runs at the end though nobody here continued it has changed while it was read.</summary>
        private string? RunsAgain()
        {
            try
            {
                return session.Monitor.QueryState(CancellationToken.None) is { Running: true }
                    ? "inconsistent: the guest was continued while it was being read" : null;
            }
            catch (GuestException e) when (e.Failure == GuestFailure.Vanished)
            {
                _vanished = true;
                return null;
            }
            catch (IOException)
            {
                return "whether the guest stood still to the end could not be asked";
            }
        }

        public ViewOrigin Complete(ViewOrigin origin)
        {
            var finished = hold is null ? origin : Finish(origin with { Actions = ["stop", "cont"] }, session, hold, 0);
            List<string> remarks = [.. finished.Remarks];
            if (_vanished)
                remarks.Add(session.Process.Vanished().Message);
            if (_moved is not null)
                remarks.Add(_moved);
            return finished with { Remarks = remarks };
        }
    }
}
