using System.Globalization;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Takes a view by QEMU's background snapshot: the guest stands still while QEMU takes its devices' state and protects its memory, and runs on while the memory of that instant is sent.
/// </summary>
internal static class SnapshotCapture
{
    /// <summary>The view; null when the guest's memory map changed in the last moment.</summary>
    /// <exception cref="GuestException">It can't be made here, or was not; the guest runs.</exception>
    public static View? Take(GuestTarget target, GuestSession session, CopyRoom room, CaptureOptions options, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var threads = options.CopyingThreads;
        var store = SnapshotStore.Prepare(room, threads, progress, ct) ?? throw LiveCapture.TooLittle(target, room);
        if (room.Describe(snapshot: true) is { } spilled)
            session.Remarks.Add(spilled);
        try
        {
            return Take(target, session, options, store, progress, ct);
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    private static View? Take(GuestTarget target, GuestSession session, CaptureOptions options, SnapshotStore store, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var (reading, writing) = SnapshotStream.MakePipe();
        WatchdogLease watchdog;
        MigrationSettings settings;
        var large = LargePages.Of(session.Map, session.Process);
        var given = GivenBack(session);
        try
        {
            settings = MigrationSettings.Read(session.Monitor);
            watchdog = WatchdogLease.Start(options.Watchdog!, session.Monitor, (reading, session.Process.Id));
        }
        catch
        {
            reading.Dispose();
            writing.Dispose();
            throw;
        }
        using (watchdog)
        {
            SnapshotStream stream;
            try
            {
                watchdog.ArmSnapshot(settings);
                store.OnTurn = watchdog.Reading;
                stream = SnapshotStream.Start(session.Monitor, settings, reading, writing, ct, watchdog.Reading);
                (stream.Silence, stream.GiveAway) = (options.SnapshotSilence, watchdog.Adopt);
            }
            catch (Exception e)
            {
                reading.Dispose();
                writing.Dispose();
                watchdog.Disarm();
                if (e is QmpRefusedException refused)
                    throw Refused(target, session, refused);
                throw;
            }
            using (stream)
                return Read(target, session, stream, store, watchdog, large, given, options, progress, ct);
        }
    }

    /// <summary>What a balloon holds while the guest still runs: of it that is marked what the snapshot finds to be zeros.</summary>
    private static IReadOnlyList<PhysicalRange>? GivenBack(GuestSession session)
    {
        if (session.Ballooned == 0)
            return null;
        using var memory = new LiveMemory(session.Map, session.Process, standing: false);
        return memory.FindGivenBack();
    }

    private static View? Read(
        GuestTarget target, GuestSession session, SnapshotStream stream, SnapshotStore store, WatchdogLease watchdog, LargePages large, IReadOnlyList<PhysicalRange>? given,
        CaptureOptions options, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var taken = DateTimeOffset.UtcNow;
        View view;
        bool holds;
        try
        {
            view = SnapshotImage.Read(stream, store, Parts(session.Map), target.ToString(), new Progress(progress, session.Map.Size), ct);
            // Devices can't be plugged while a migration is at work, so the map of now is the map of the snapshot, but for what firmware did in its moment.
            using (stream.Pulse())
                holds = stream.IsStuck || session.Map.StillHolds(session.Monitor, ct);
            store.Settle();
        }
        catch (ImageFormatException e)
        {
            End(target, session, stream, watchdog, options);
            // More memory than room was made for: plugged in between.
            if (!session.Map.StillHolds(session.Monitor, ct))
                return null;
            throw new GuestException(GuestFailure.MonitorFailed, $"{target}: QEMU's background snapshot can't be understood: {e.Message}", e);
        }
        catch (Exception e)
        {
            End(target, session, stream, watchdog, options, quiet: true);
            if (stream.GivenAway && e is GuestException)
                throw Silent(target, stream);
            throw;
        }
        End(target, session, stream, watchdog, options);
        if (large.PutTogether(session.Map, session.Process, ct) is { } said)
            session.Remarks.Add(said);
        if (!holds)
        {
            view.Dispose();
            return null;
        }
        store.Trim();
        var memory = session.Ballooned == 0
            ? view.Memory : GivenBackMemory.Over(view.Memory, given is null ? null : GivenBackPages.StillZero(given, view.Memory), session.Remarks);
        var origin = view.Origin with
        {
            Format = "live guest",
            Producer = session.Monitor is QmpMonitor { QemuVersion: { Length: > 0 } version } ? "QEMU " + version : "QEMU",
            TakenAt = taken,
            StoodStill = session.Monitor.LastStopByEvents ?? stream.Downtime,
            Actions = ["background snapshot"],
            Packing = null,
            Remarks = [.. session.Remarks, .. session.Monitor.Remarks, .. Remarks(session, stream), .. view.Origin.Remarks],
        };
        var result = new View(
            memory, view.Cpus,
            view.Consistency.Level == ConsistencyLevel.Instant ? new Consistency(ConsistencyLevel.Instant, "QEMU's background snapshot: memory and registers of one instant") : view.Consistency,
            origin);
        session.Dispose();
        return result;
    }

    private static IEnumerable<string> Remarks(GuestSession session, SnapshotStream stream)
    {
        yield return session.Monitor.LastStopByEvents is { } pause
            ? string.Create(CultureInfo.InvariantCulture, $"by QEMU's own STOP and RESUME events the guest stood still for {pause.TotalMilliseconds:0.0} ms")
            : stream.Downtime is { } downtime
            ? string.Create(CultureInfo.InvariantCulture, $"by QEMU's own count (query-migrate, downtime, in whole milliseconds) the guest stood still for {downtime.TotalMilliseconds:0} ms")
            : "how long the guest stood still is not known: libvirt does not pass on QEMU's STOP and RESUME events, and this QEMU does not count";
        if (stream.Leftover is { } leftover)
            yield return leftover;
    }

    /// <summary>Reads the rest, whatever happened; afterwards the guest runs, and QEMU's settings are as they were.</summary>
    private static void End(GuestTarget target, GuestSession session, SnapshotStream stream, WatchdogLease watchdog, CaptureOptions options, bool quiet = false)
    {
        stream.Dispose();
        if (stream.GivenAway)
        {
            if (quiet)
                return;
            throw Silent(target, stream);
        }
        var ours = watchdog.Disarm();
        if (stream.Failure is not null && ours)
            Unprotect(session, options);
        if (quiet)
            return;
        if (session.Process.HasEnded)
            throw session.Process.Vanished();
        if (!ours)
            throw new GuestException(GuestFailure.Watchdog, $"{target}: the watchdog read the snapshot to its end, because this process did not for {WatchdogLease.SnapshotPatience.TotalSeconds:0} s; the guest runs; try again");
        if (stream.Failure is { } failure)
            throw new GuestException(GuestFailure.MonitorFailed, $"{target}: QEMU's background snapshot failed: {failure}; the guest runs; use --consistency stop");
    }

    private static GuestException Silent(GuestTarget target, SnapshotStream stream) => new(
        GuestFailure.MonitorFailed,
        $"{target}: QEMU can't be asked how its snapshot ended ({stream.Failure}): is it stopped, or libvirt's daemon? Forengate's watchdog stays, and ends the snapshot when there is an answer; then try again");

    /// <summary>A snapshot that fails leaves memory protected, in a QEMU before 8.1: every writer waits for ever.</summary>
    private static void Unprotect(GuestSession session, CaptureOptions options)
    {
        try
        {
            var qemu = SnapshotFacts.QemuVersion(session.Monitor, CancellationToken.None);
            for (var attempt = 0; WriteProtection.LeftIn(session.Process.Id, qemu).Count != 0 && WriteProtection.Lift(session.Process.Id) != 0; attempt++)
            {
                if (attempt == SnapshotRescue.Attempts)
                {
                    session.Remarks.Add(SnapshotRescue.Unhealed(SnapshotRescue.FailedEachTime));
                    return;
                }
                if (!Heal(session, options))
                    return;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or QmpRefusedException)
        {
            session.Remarks.Add($"{e.Message}; if the guest hangs, run forengate rescue");
        }
    }

    /// <summary>
    /// QEMU itself still believes its memory protected, and would fail the next save or migration over it. A snapshot that is read to its end, to no purpose but this, makes it forget.
    /// </summary>
    /// <returns>False when it is the watchdog's now.</returns>
    private static bool Heal(GuestSession session, CaptureOptions options)
    {
        var (reading, writing) = SnapshotStream.MakePipe();
        var settings = MigrationSettings.Read(session.Monitor);
        using var watchdog = WatchdogLease.Start(options.Watchdog!, session.Monitor, (reading, session.Process.Id));
        watchdog.ArmSnapshot(settings);
        using var stream = SnapshotStream.Start(session.Monitor, settings, reading, writing, CancellationToken.None, watchdog.Reading);
        stream.GiveAway = watchdog.Adopt;
        stream.Dispose();
        return !stream.GivenAway && watchdog.Disarm();
    }

    private static List<RamPart> Parts(GuestMemoryMap map) =>
        [.. map.Parts.Select(section => new RamPart(section.Block, section.Offset, new PhysicalRange(section.Start, section.Length)))];

    private static GuestException Refused(GuestTarget target, GuestSession session, QmpRefusedException refused) => new(
        GuestFailure.NoRights,
        $"{target}: QEMU makes no background snapshot: {SnapshotFacts.Obstacle(session, CancellationToken.None) ?? refused.Message}; use --consistency stop", refused);

    private sealed class Progress(IProgress<CaptureProgress>? to, ulong size) : IProgress<ImageOpenProgress>
    {
        public void Report(ImageOpenProgress value) => to?.Report(new CaptureProgress(CapturePhase.Copying, Math.Min((ulong)value.Done, size), size));
    }
}
