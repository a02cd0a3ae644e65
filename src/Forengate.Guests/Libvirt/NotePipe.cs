using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>A named pipe that collects the beginning of an ELF core and then breaks it off.</summary>
internal sealed unsafe class NotePipe : IDisposable
{
    private static readonly TimeSpan s_firstByte = TimeSpan.FromSeconds(10);

    private readonly string _path;
    private readonly Descriptor _reader;

    private NotePipe(string path, Descriptor reader)
    {
        _path = path;
        _reader = reader;
    }

    public static NotePipe Create(string path)
    {
        if (LinuxNative.MakeFifo(path, 0b110_010_010) != 0)
            throw new IOException($"mkfifo {path}: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}");
        // mkfifo goes through the umask.
        LinuxNative.ChangeMode(path, 0b110_010_010);
        var reader = new Descriptor(LinuxNative.Open(path, LinuxNative.O_RDONLY | LinuxNative.O_NONBLOCK | LinuxNative.O_CLOEXEC));
        if (reader.IsInvalid)
            throw new IOException($"{path}: {LinuxNative.Describe(Marshal.GetLastPInvokeError())}");
        return new NotePipe(path, reader);
    }

    /// <summary>Has a core written into the pipe and reads it until the notes are whole. Null with the reason when they never came.</summary>
    public byte[]? Collect(Action<string> write, CancellationToken ct, out string? reason)
    {
        string? failure = null;
        var writer = new Thread(() =>
        {
            try
            {
                write(_path);
            }
            catch (Exception e)
            {
                failure = e.Message;
            }
        })
        { IsBackground = true, Name = "core writer" };
        writer.Start();
        var bytes = ReadNotes(writer, ct);
        // Closing the reading end is what ends the dump.
        _reader.Dispose();
        writer.Join();
        reason = bytes is null ? failure ?? "the core broke off before its notes" : null;
        return bytes;
    }

    private byte[]? ReadNotes(Thread writer, CancellationToken ct)
    {
        var bytes = new byte[64 << 10];
        var length = 0;
        var started = Environment.TickCount64;
        while (!ct.IsCancellationRequested)
        {
            if (ElfNotes.IsComplete(bytes.AsSpan(0, length)))
                return bytes[..length];
            if (length == bytes.Length)
            {
                if (length >= CpuNoteFile.MaxSize)
                    return null;
                Array.Resize(ref bytes, bytes.Length * 2);
            }
            var poll = new LinuxNative.PollDescriptor { Descriptor = _reader.Number, Events = LinuxNative.POLLIN };
            var ready = LinuxNative.Poll(&poll, 1, 20);
            nint got = 0;
            if (ready > 0 && (poll.Returned & LinuxNative.POLLIN) != 0)
            {
                fixed (byte* start = bytes)
                    got = LinuxNative.Read(_reader.Number, start + length, (nuint)(bytes.Length - length));
            }
            if (got > 0)
            {
                length += (int)got;
                continue;
            }
            if (!writer.IsAlive || Environment.TickCount64 - started > s_firstByte.TotalMilliseconds)
                return null;
            if (ready > 0)
                Thread.Sleep(1);
        }
        return null;
    }

    public void Dispose() => _reader.Dispose();
}
