using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// A background snapshot of a running guest as QEMU sends it: the migration stream of one instant, read while the guest runs on. QEMU before 8.1 hangs the guest when a snapshot is
/// cancelled or its reader goes away, so this one is never cancelled: whatever happens, the stream is read to its end.
/// </summary>
internal sealed unsafe class SnapshotStream : Stream
{
    /// <summary>What QEMU knows the pipe's writing end by.</summary>
    public const string FileName = "forengate-snapshot";

    /// <summary>A pipe of 1 MiB, the most that an unprivileged process may have: fewer switches between QEMU and us.</summary>
    private const int PipeBytes = 1 << 20;

    /// <summary>
    /// QEMU writes page by page, and each would wake us: two switches of a processor for 4 KiB, taken from the guest. After less than <see cref="Batch"/> bytes the pipe is given this long to
    /// fill; it holds more than QEMU writes meanwhile, so nothing waits for us.
    /// </summary>
    private const uint NapMicroseconds = 200;

    private const int Batch = 128 << 10;
    private const int PollMilliseconds = 100;
    private static readonly TimeSpan s_end = TimeSpan.FromSeconds(30);

    private readonly IGuestMonitor _monitor;
    private readonly MigrationSettings _settings;
    private readonly Descriptor _reading;
    private readonly CancellationToken _cancellation;
    private long _heard = Environment.TickCount64;
    private int _last;
    private bool _stuck;
    private bool _ended;
    private bool _closed;

    private SnapshotStream(IGuestMonitor monitor, MigrationSettings settings, Descriptor reading, CancellationToken cancellation)
    {
        _monitor = monitor;
        _settings = settings;
        _reading = reading;
        _cancellation = cancellation;
    }

    /// <summary>Called at least ten times a second while the stream is read: tells the watchdog that somebody does.</summary>
    private Action? OnTurn { get; init; }

    /// <summary>What sends nothing for so long is stuck.</summary>
    public TimeSpan Silence { get; set; } = new CaptureOptions().SnapshotSilence;

    /// <summary>Bytes read so far.</summary>
    public long BytesRead { get; private set; }

    /// <summary>
    /// Has the watchdog read on when QEMU answers nothing any more (it is stopped, or hangs as a whole): to cancel what it may go on with later would hang the guest. Null where there
    /// is no watchdog; gives false when it is gone.
    /// </summary>
    public Func<bool>? GiveAway { get; set; }

    /// <summary>True once the watchdog has it: nothing of this guest's migration is ours any more.</summary>
    public bool GivenAway { get; private set; }

    /// <summary>How long the guest stood still by QEMU's own count, in whole milliseconds, from just before it stopped the vCPUs until they ran; null before the end, and where it does not say.</summary>
    public TimeSpan? Downtime { get; private set; }

    /// <summary>QEMU's word when the stream ended too early; null while all is well.</summary>
    public string? Failure { get; private set; }

    /// <summary>What could not be put back afterwards; null when all was.</summary>
    public string? Leftover { get; private set; }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Makes the pipe that the snapshot goes through; its reading end can be given to a watchdog before anything is started.</summary>
    public static (Descriptor Reading, Descriptor Writing) MakePipe()
    {
        const int SetPipeSize = 1031;
        var ends = stackalloc int[2];
        if (LinuxNative.Pipe(ends, LinuxNative.O_CLOEXEC) != 0)
            throw new IOException("pipe: " + LinuxNative.Describe(Marshal.GetLastPInvokeError()));
        // A smaller pipe works as well, only slower.
        _ = LinuxNative.FileControl(ends[1], SetPipeSize, PipeBytes);
        return (new Descriptor(ends[0]), new Descriptor(ends[1]));
    }

    /// <summary>Starts a snapshot.</summary>
    /// <param name="monitor">The guest's monitor.</param>
    /// <param name="settings">Changed for the snapshot, and put back at its end.</param>
    /// <param name="reading">Reading end of the pipe; owned by the stream from now on.</param>
    /// <param name="writing">Writing end; passed to QEMU and closed here, so that the stream ends when QEMU is done.</param>
    /// <param name="cancellation">Ends reads with an exception; the snapshot itself goes on to its end.</param>
    /// <param name="onTurn">Called at least ten times a second while the stream is read, and between the steps of its beginning: tells the watchdog that somebody is there.</param>
    /// <exception cref="QmpRefusedException">This QEMU or this guest can't make one; everything is as it was.</exception>
    public static SnapshotStream Start(IGuestMonitor monitor, MigrationSettings settings, Descriptor reading, Descriptor writing, CancellationToken cancellation, Action? onTurn = null)
    {
        cancellation.ThrowIfCancellationRequested();
        try
        {
            // Nothing of this is given up in the middle: a command whose answer nobody waited for may yet be done.
            settings.Apply();
            onTurn?.Invoke();
            monitor.PassDescriptor(FileName, writing.Number, CancellationToken.None);
            try
            {
                monitor.Qmp("migrate", writer => writer.WriteString("uri", "fd:" + FileName), CancellationToken.None);
            }
            catch (GuestException e) when (e.Failure != GuestFailure.Vanished)
            {
                // Nobody knows whether it arrived (libvirt's daemon ended in between): a snapshot that may have begun must be read.
            }
            writing.Dispose();
            return new SnapshotStream(monitor, settings, reading, cancellation) { OnTurn = onTurn };
        }
        catch
        {
            writing.Dispose();
            reading.Dispose();
            settings.Restore();
            throw;
        }
    }

    public override int Read(Span<byte> buffer)
    {
        if (_ended || buffer.IsEmpty)
            return 0;
        for (; ; )
        {
            _cancellation.ThrowIfCancellationRequested();
            var got = TryRead(buffer);
            if (got >= 0)
                return got;
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <summary>Reads what is left, waits for QEMU's word and puts its settings back.</summary>
    /// <exception cref="GuestException">QEMU says the snapshot failed.</exception>
    public void Finish()
    {
        ReadToEnd();
        if (Failure is { } failure)
            throw new GuestException(GuestFailure.MonitorFailed, $"{_monitor.Name}: QEMU's background snapshot failed: {failure}");
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            ReadToEnd();
        base.Dispose(disposing);
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private void ReadToEnd()
    {
        if (_closed)
            return;
        _closed = true;
        var buffer = new byte[PipeBytes];
        while (!_ended)
            _ = TryRead(buffer);
        using var pulse = Pulse();
        try
        {
            if (_stuck)
            {
                _monitor.Qmp("query-migrate", null, CancellationToken.None);
                _monitor.Qmp("migrate_cancel", null, CancellationToken.None);
            }
            Failure = AwaitEnd(buffer);
            if (_stuck)
                Failure = string.Create(CultureInfo.InvariantCulture, $"it sent nothing for {Silence.TotalSeconds:0} s and was cancelled");
        }
        catch (GuestException e) when (e.Failure is GuestFailure.MonitorFailed or GuestFailure.Libvirt && GiveAway?.Invoke() == true)
        {
            GivenAway = true;
            Failure = e.Message;
            _reading.Dispose();
            return;
        }
        catch (Exception e) when (e is IOException or QmpRefusedException)
        {
            Failure = e.Message;
        }
        Leftover = _settings.Restore();
        _reading.Dispose();
    }

    /// <summary>True when it fell silent.</summary>
    public bool IsStuck => _stuck;

    /// <summary>For as long as the monitor is asked: a QEMU that does not answer, or a daemon of libvirt's that is being restarted, takes longer than the watchdog waits for somebody who reads.</summary>
    public IDisposable Pulse() => new Pulse(() => OnTurn?.Invoke(), PollMilliseconds);

    /// <summary>Bytes read, 0 at the end, -1 when there is nothing yet.</summary>
    private int TryRead(Span<byte> buffer)
    {
        OnTurn?.Invoke();
        var poll = new LinuxNative.PollDescriptor { Descriptor = _reading.Number, Events = LinuxNative.POLLIN };
        if (LinuxNative.Poll(&poll, 1, PollMilliseconds) <= 0)
        {
            if (Environment.TickCount64 - _heard < Silence.TotalMilliseconds)
                return -1;
            _stuck = true;
            _ended = true;
            return 0;
        }
        if (_last < Batch)
            _ = LinuxNative.SleepMicroseconds(NapMicroseconds);
        fixed (byte* start = buffer)
        {
            var got = LinuxNative.Read(_reading.Number, start, (nuint)buffer.Length);
            if (got > 0)
            {
                _heard = Environment.TickCount64;
                BytesRead += got;
                return _last = (int)got;
            }
            if (got < 0 && Marshal.GetLastPInvokeError() is LinuxNative.EINTR or LinuxNative.EAGAIN)
                return -1;
        }
        _ended = true;
        return 0;
    }

    /// <summary>Throws away what lies in the pipe. Never waits.</summary>
    public static void Discard(Descriptor reading, Span<byte> buffer)
    {
        var poll = new LinuxNative.PollDescriptor { Descriptor = reading.Number, Events = LinuxNative.POLLIN };
        fixed (byte* start = buffer)
        {
            while (LinuxNative.Poll(&poll, 1, 0) > 0 && LinuxNative.Read(reading.Number, start, (nuint)buffer.Length) > 0)
            {
            }
        }
    }

    /// <summary>Null when QEMU calls the snapshot completed, else its words.</summary>
    /// <param name="buffer">For what comes meanwhile: one that was cancelled while it was silent may wake up, and must not wait for a reader then.</param>
    private string? AwaitEnd(Span<byte> buffer)
    {
        var until = Environment.TickCount64 + (long)s_end.TotalMilliseconds;
        for (; ; Thread.Sleep(5))
        {
            OnTurn?.Invoke();
            Discard(_reading, buffer);
            var answer = _monitor.Qmp("query-migrate", null, CancellationToken.None);
            var status = answer.Text("status") ?? "none";
            if (status == "completed")
            {
                Downtime = answer.Integer("downtime") is >= 0 and var milliseconds ? TimeSpan.FromMilliseconds((double)milliseconds) : null;
                return null;
            }
            if (status is "failed" or "cancelled" or "none")
                return answer.Text("error-desc") ?? status;
            if (Environment.TickCount64 > until)
                return string.Create(CultureInfo.InvariantCulture, $"its stream ended, and {s_end.TotalSeconds:0} s later QEMU still says '{status}'");
        }
    }
}
