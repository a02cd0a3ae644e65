using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>Our side of the watchdog: a child process that continues the guest when we no longer can.</summary>
internal sealed unsafe class WatchdogLease : IDisposable
{
    private static readonly TimeSpan s_start = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan s_answer = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_rescue = TimeSpan.FromSeconds(30);

    /// <summary>A guest that writes memory stands still when nobody reads its snapshot: not for long.</summary>
    internal static readonly TimeSpan SnapshotPatience = TimeSpan.FromSeconds(3);

    private readonly ControlSocket _control;
    private readonly int _process;
    private bool _reaped;
    private long _said;

    private WatchdogLease(ControlSocket control, int process)
    {
        _control = control;
        _process = process;
    }

    /// <summary>When the watchdog continued the guest, in ticks of <see cref="System.Diagnostics.Stopwatch"/>; null when it did not.</summary>
    public long? ContinuedAt { get; private set; }

    /// <summary>Starts the watchdog and waits until it is ready to act.</summary>
    /// <param name="host">The program.</param>
    /// <param name="monitor">The guest's.</param>
    /// <param name="snapshot">For a snapshot: the pipe's reading end, which stays ours too, and the number of QEMU's process.</param>
    /// <exception cref="GuestException">It could not be started; nothing was stopped.</exception>
    public static WatchdogLease Start(WatchdogHost host, IGuestMonitor monitor, (Descriptor Reading, int Qemu)? snapshot = null)
    {
        Descriptor? other = null;
        ControlSocket? control = null;
        try
        {
            (control, other) = ControlSocket.Pair();
            List<string> arguments =
            [
                .. host.Arguments, Watchdog.Verb,
                WatchdogMessages.ParentOption, Environment.ProcessId.ToString(CultureInfo.InvariantCulture),
            ];
            List<int> descriptors = [other.Number];
            if (monitor is LibvirtMonitor libvirt)
            {
                arguments.AddRange([WatchdogMessages.TargetOption, new GuestTarget(GuestTargetKind.Libvirt, libvirt.Uuid.ToString()).ToString()]);
                arguments.AddRange([WatchdogMessages.UriOption, libvirt.Uri]);
            }
            else if (monitor is QmpMonitor qmp)
            {
                arguments.AddRange([WatchdogMessages.TargetOption, qmp.Name]);
                descriptors.Add(qmp.SocketDescriptor);
            }
            else
            {
                throw new GuestException(GuestFailure.Watchdog, $"{monitor.Name}: there is no watchdog for this kind of monitor, so the guest was not stopped");
            }
            if (snapshot is { } given)
            {
                arguments.AddRange([WatchdogMessages.QemuOption, given.Qemu.ToString(CultureInfo.InvariantCulture)]);
                arguments.AddRange([WatchdogMessages.StreamOption, (WatchdogMessages.ControlDescriptor + descriptors.Count).ToString(CultureInfo.InvariantCulture)]);
                descriptors.Add(given.Reading.Number);
            }
            var lease = new WatchdogLease(control, ChildProcess.Start(host.Executable, arguments, descriptors));
            other.Dispose();
            var answer = control.Receive(s_start);
            if (answer == WatchdogMessages.Ready)
                return lease;
            lease.Dispose();
            throw new GuestException(GuestFailure.Watchdog, $"the watchdog ({host.Executable}) did not become ready ({answer ?? "it said nothing"}), so the guest was not stopped");
        }
        catch (IOException e) when (e is not GuestException)
        {
            control?.Dispose();
            other?.Dispose();
            throw new GuestException(GuestFailure.Watchdog, $"the watchdog ({host.Executable}) could not be started: {e.Message}; the guest was not stopped", e);
        }
    }

    /// <summary>From now on the watchdog continues the guest at the deadline or when we end.</summary>
    public void Arm(TimeSpan deadline)
    {
        var milliseconds = Math.Clamp((long)deadline.TotalMilliseconds, 1, int.MaxValue);
        if (!_control.Send(string.Create(CultureInfo.InvariantCulture, $"{WatchdogMessages.Stopping} {milliseconds}")) || _control.Receive(s_answer) != WatchdogMessages.Armed)
            throw new GuestException(GuestFailure.Watchdog, "the watchdog did not answer, so the guest was not stopped");
    }

    /// <summary>From now on the watchdog reads the snapshot to its end, and puts QEMU's settings back, when nobody says <see cref="Reading"/> any more.</summary>
    public void ArmSnapshot(MigrationSettings settings)
    {
        if (!_control.Send(string.Create(CultureInfo.InvariantCulture, $"{WatchdogMessages.Snapshot} {SnapshotPatience.TotalMilliseconds:0} {settings.ToMessage()}"))
            || _control.Receive(s_answer) != WatchdogMessages.Armed)
        {
            throw new GuestException(GuestFailure.Watchdog, "the watchdog did not answer, so no snapshot was begun");
        }
    }

    /// <summary>The snapshot is being read. May be said as often as one likes.</summary>
    public void Reading()
    {
        var now = Environment.TickCount64;
        if (now - _said < SnapshotPatience.TotalMilliseconds / 10)
            return;
        _said = now;
        _control.Send(WatchdogMessages.Reading);
    }

    /// <summary>Leaves the snapshot to the watchdog: nothing of it, and no monitor, may be used here any more. False when there is no watchdog any more.</summary>
    public bool Adopt()
    {
        if (!_control.Send(WatchdogMessages.Adopt))
            return false;
        while (_control.Receive(s_answer) is { } answer)
        {
            if (answer == WatchdogMessages.Armed)
                return true;
        }
        return false;
    }

    /// <summary>The guest runs again by our hand. Returns false when the watchdog had continued it before.</summary>
    public bool Disarm()
    {
        _control.Send(WatchdogMessages.Resumed);
        while (_control.Receive(s_answer) is { } answer)
        {
            if (answer == WatchdogMessages.Disarmed)
                return ContinuedAt is null;
            NoteIfContinued(answer);
        }
        return ContinuedAt is null;
    }

    /// <summary>True when the watchdog has already continued the guest, and watches no more.</summary>
    public bool HasActed()
    {
        while (ContinuedAt is null && _control.Receive(TimeSpan.Zero) is { } answer)
            NoteIfContinued(answer);
        return ContinuedAt is not null;
    }

    /// <summary>We can't continue the guest: the watchdog shall, at once. Returns true when it did.</summary>
    public bool HandOver()
    {
        // The watchdog acts when our end closes; its own end stays readable for us, so only our writing side is shut.
        LinuxNative.Shutdown(_control.Number, 1);
        while (_control.Receive(s_rescue) is { } answer)
            NoteIfContinued(answer);
        return ContinuedAt is not null;
    }

    private void NoteIfContinued(string answer)
    {
        var words = answer.Split(' ');
        if (words[0] == WatchdogMessages.Continued)
            ContinuedAt = words.Length > 1 && long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out var at) ? at : 0;
    }

    /// <summary>Lets the watchdog end and collects it.</summary>
    public void Dispose()
    {
        _control.Send(WatchdogMessages.Bye);
        _control.Dispose();
        const int NoHang = 1;
        for (var i = 0; i < 200 && !_reaped; i++)
        {
            int status;
            _reaped = LinuxNative.WaitProcess(_process, &status, NoHang) != 0;
            if (!_reaped)
                Thread.Sleep(5);
        }
    }
}
