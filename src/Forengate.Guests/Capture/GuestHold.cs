using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// A guest that we stopped. It is continued exactly once: when released or disposed, on SIGTERM and SIGHUP, or by the watchdog.
/// </summary>
internal sealed class GuestHold : IDisposable
{
    private readonly IGuestMonitor _monitor;
    private readonly WatchdogLease _watchdog;
    private readonly Lock _once = new();
    private readonly List<PosixSignalRegistration> _signals = [];
    private readonly long _stopped;
    private bool _released;

    private GuestHold(IGuestMonitor monitor, WatchdogLease watchdog)
    {
        _monitor = monitor;
        _watchdog = watchdog;
        _stopped = Stopwatch.GetTimestamp();
    }

    /// <summary>From just before the stop was asked for until the continuation was acknowledged; null while the guest stands, or where unknown.</summary>
    public TimeSpan? StoodStill { get; private set; }

    /// <summary>Why the guest ran on earlier than we wanted; null when it did not.</summary>
    public string? BrokenBy { get; private set; }

    /// <summary>Why the guest could not be continued; null when it could, or is gone.</summary>
    public string? Failure { get; private set; }

    /// <summary>Stops the guest under the watchdog's eyes.</summary>
    public static GuestHold Stop(IGuestMonitor monitor, WatchdogLease watchdog, TimeSpan deadline, CancellationToken ct, bool throughSignals = false)
    {
        watchdog.Arm(deadline);
        var hold = new GuestHold(monitor, watchdog);
        try
        {
            foreach (var signal in throughSignals ? [] : (ReadOnlySpan<PosixSignal>)[PosixSignal.SIGTERM, PosixSignal.SIGHUP])
            {
                // What the signal does to the program is the program's business; the guest runs first.
                hold._signals.Add(PosixSignalRegistration.Create(signal, context => hold.Release($"forengate got {context.Signal}")));
            }
            monitor.Stop(ct);
            // A stop that took longer than the deadline came behind the watchdog's continuation: nobody would undo it.
            if (watchdog.HasActed())
                throw new GuestException(GuestFailure.Watchdog, $"{monitor.Name}: stopping the guest took longer than the {deadline.TotalMilliseconds:0} ms that it may stand; it runs again; try again");
            return hold;
        }
        catch
        {
            // Whether the stop arrived or not: a running guest is not hurt by being continued.
            hold.Dispose();
            throw;
        }
    }

    /// <summary>Continues the guest. Never throws: <see cref="BrokenBy"/> and <see cref="Failure"/> say what went wrong.</summary>
    public void Release() => Release(because: null);

    private void Release(string? because)
    {
        lock (_once)
        {
            if (_released)
                return;
            _released = true;
            BrokenBy = because;
            try
            {
                _monitor.Continue();
                StoodStill = Stopwatch.GetElapsedTime(_stopped);
                if (!_watchdog.Disarm())
                    NoteWatchdog();
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                if (e is GuestException { Failure: GuestFailure.Vanished })
                {
                    _watchdog.Disarm();
                    Failure = null;
                }
                else if (_watchdog.HandOver())
                {
                    NoteWatchdog();
                }
                else
                {
                    Failure = $"the guest may still be stopped: {e.Message}; continue it by hand (virsh resume, or cont on its monitor)";
                }
            }
        }
    }

    private void NoteWatchdog()
    {
        BrokenBy = "the watchdog continued the guest at its deadline";
        StoodStill = _watchdog.ContinuedAt is > 0 and var at ? Stopwatch.GetElapsedTime(_stopped, at) : null;
    }

    public void Dispose()
    {
        Release();
        foreach (var signal in _signals)
            signal.Dispose();
        _watchdog.Dispose();
    }
}
