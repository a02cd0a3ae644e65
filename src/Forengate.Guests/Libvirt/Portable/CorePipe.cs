using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Forengate.Guests;

/// <summary>
/// Takes libvirt's own memory-only dump through a named pipe into memory, at the speed it is written: no file of the guest's size on the daemon's host, and a pipe that is closed ends the dump
/// at once, upon which libvirt lets the guest run.
/// </summary>
internal sealed unsafe class CorePipe : IDisposable
{
    /// <summary>F_SETPIPE_SZ, and the most that Linux gives everybody (/proc/sys/fs/pipe-max-size).</summary>
    private const int SetPipeSize = 1031;
    private const int PipeSize = 1 << 20;

    /// <summary>How long nothing may come before the dump is given up.</summary>
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(30);

    /// <summary>How long libvirt may take to end a dump whose pipe is closed.</summary>
    private static readonly TimeSpan s_end = TimeSpan.FromSeconds(40);

    private readonly string _folder;
    private readonly string _path;
    private Descriptor? _reader;
    private GuestException? _failure;

    private CorePipe(string folder, string path)
    {
        _folder = folder;
        _path = path;
    }

    /// <summary>Bytes that came.</summary>
    public ulong Received { get; private set; }

    /// <summary>From just before libvirt was asked until it was done: the guest stood still for no longer than this.</summary>
    public TimeSpan Duration { get; private set; }

    public static CorePipe Create()
    {
        var folder = Path.Combine(Path.GetTempPath(), "forengate-" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)));
        Directory.CreateDirectory(folder);
        var pipe = new CorePipe(folder, Path.Combine(folder, "core"));
        try
        {
            // The daemon may be another user: it must reach the pipe by its unguessable name, and only write. No other user can list the folder.
            LinuxNative.ChangeMode(folder, 0b111_001_001);
            if (LinuxNative.MakeFifo(pipe._path, 0b110_010_010) != 0)
                throw new IOException($"mkfifo {pipe._path}: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}");
            LinuxNative.ChangeMode(pipe._path, 0b110_010_010);
            pipe._reader = new Descriptor(LinuxNative.Open(pipe._path, LinuxNative.O_RDONLY | LinuxNative.O_NONBLOCK | LinuxNative.O_CLOEXEC));
            if (pipe._reader.IsInvalid)
                throw new IOException($"{pipe._path}: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}");
            _ = LinuxNative.FileControl(pipe._reader.Number, SetPipeSize, PipeSize);
            return pipe;
        }
        catch
        {
            pipe.Dispose();
            throw;
        }
    }

    /// <summary>Has a core written and takes all of it. When this returns, libvirt is done with the dump, or was given up.</summary>
    /// <param name="dump">libvirt's call.</param>
    /// <param name="file">Takes the core.</param>
    /// <param name="alive">Called several times a second as long as somebody reads.</param>
    /// <param name="progress">Told how far it is.</param>
    /// <param name="expected">About how many bytes will come.</param>
    /// <param name="ct">Closes the pipe, which ends the dump.</param>
    /// <exception cref="GuestException">libvirt's reason; it may have come before the guest was stopped.</exception>
    public void Take(Action<string> dump, CopyFile file, Action alive, IProgress<CaptureProgress>? progress, ulong expected, CancellationToken ct)
    {
        var started = Stopwatch.GetTimestamp();
        var writer = new Thread(() =>
        {
            try
            {
                dump(_path);
            }
            catch (GuestException e)
            {
                Volatile.Write(ref _failure, e);
            }
            Duration = Stopwatch.GetElapsedTime(started);
        })
        { IsBackground = true, Name = "libvirt's dump" };
        writer.Start();
        string? broken = null;
        try
        {
            broken = Read(writer, file, alive, progress, expected, ct);
        }
        finally
        {
            // Closing the reading end is what ends a dump that is not over.
            _reader!.Dispose();
            if (!writer.Join(s_end))
                broken ??= $"libvirt did not end the dump within {s_end.TotalSeconds:0} s";
        }
        ct.ThrowIfCancellationRequested();
        if (broken is not null)
            throw new GuestException(GuestFailure.Libvirt, $"libvirt's dump: {broken}");
        if (Volatile.Read(ref _failure) is { } failure)
            throw failure;
    }

    /// <summary>Null when the dump was read to its end; else why it was not.</summary>
    private string? Read(Thread writer, CopyFile file, Action alive, IProgress<CaptureProgress>? progress, ulong expected, CancellationToken ct)
    {
        var heard = Environment.TickCount64;
        var told = 0UL;
        while (!ct.IsCancellationRequested)
        {
            alive();
            // Asked before reading: what a writer that has ended wrote is all in the pipe.
            var over = !writer.IsAlive;
            if (Received == file.Capacity)
                return $"it has more than the {file.Capacity >> 20} MiB expected";
            var poll = new LinuxNative.PollDescriptor { Descriptor = _reader!.Number, Events = LinuxNative.POLLIN };
            var ready = LinuxNative.Poll(&poll, 1, over ? 0 : 100);
            nint got = 0;
            if (ready > 0 && (poll.Returned & LinuxNative.POLLIN) != 0)
            {
                var free = file.Space(PipeSize);
                fixed (byte* space = free)
                    got = LinuxNative.Read(_reader.Number, space, (nuint)free.Length);
            }
            if (got > 0)
            {
                Received += (ulong)got;
                file.Advance((int)got);
                heard = Environment.TickCount64;
                if (Received - told >= 64 << 20)
                {
                    told = Received;
                    progress?.Report(new CaptureProgress(CapturePhase.Copying, Math.Min(Received, expected), expected));
                }
                continue;
            }
            if (over)
                return null;
            if (Environment.TickCount64 - heard > s_silence.TotalMilliseconds)
                return $"nothing came for {s_silence.TotalSeconds:0} s";
            // A pipe that nobody has opened yet, or whose writer has closed it and libvirt still works, is ready at once.
            if (ready > 0)
                Thread.Sleep(1);
        }
        return null;
    }

    public void Dispose()
    {
        _reader?.Dispose();
        if (Directory.Exists(_folder))
            Directory.Delete(_folder, recursive: true);
    }
}
