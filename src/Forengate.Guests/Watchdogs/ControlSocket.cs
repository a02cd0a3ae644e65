using System.Runtime.InteropServices;
using System.Text;

namespace Forengate.Guests;

/// <summary>One end of the stream between Forengate and its watchdog.</summary>
internal sealed unsafe class ControlSocket(Descriptor descriptor) : IDisposable
{
    private const int LongestLine = 128;

    /// <summary>No message, its newline included, may be longer.</summary>
    public const int LongestMessage = 16 * LongestLine;

    private readonly StringBuilder _pending = new();

    public int Number => descriptor.Number;

    /// <summary>True once the other end is closed and all it said was read.</summary>
    public bool Closed { get; private set; }

    public static (ControlSocket Own, Descriptor Other) Pair()
    {
        const int Unix = 1;
        const int Stream = 1;
        var ends = stackalloc int[2];
        if (LinuxNative.SocketPair(Unix, Stream | LinuxNative.O_CLOEXEC, 0, ends) != 0)
            throw new IOException("socketpair: " + LinuxNative.Describe(Marshal.GetLastPInvokeError()));
        return (new ControlSocket(new Descriptor(ends[0])), new Descriptor(ends[1]));
    }

    /// <summary>False when the other end, or ours, is closed. From any thread: what is said too late must not go to whoever has got the descriptor's number since.</summary>
    public bool Send(string message)
    {
        const int NoSignal = 0x4000;
        var bytes = Encoding.ASCII.GetBytes(message + "\n");
        var held = false;
        try
        {
            descriptor.DangerousAddRef(ref held);
            fixed (byte* start = bytes)
                return LinuxNative.Send(descriptor.Number, start, (nuint)bytes.Length, NoSignal) == bytes.Length;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
        finally
        {
            if (held)
                descriptor.DangerousRelease();
        }
    }

    /// <summary>The next message; null when none came in time or the other end closed.</summary>
    public string? Receive(TimeSpan patience)
    {
        var until = Environment.TickCount64 + (long)patience.TotalMilliseconds;
        for (; ; )
        {
            if (TakeLine() is { } line)
                return line;
            var left = until - Environment.TickCount64;
            if (Closed || !Fill((int)Math.Max(0, left)) && left <= 0)
                return TakeLine();
        }
    }

    private string? TakeLine()
    {
        for (var i = 0; i < _pending.Length; i++)
        {
            if (_pending[i] != '\n')
                continue;
            var line = _pending.ToString(0, i);
            _pending.Remove(0, i + 1);
            return line;
        }
        return null;
    }

    private bool Fill(int milliseconds)
    {
        var poll = new LinuxNative.PollDescriptor { Descriptor = descriptor.Number, Events = LinuxNative.POLLIN };
        if (LinuxNative.Poll(&poll, 1, milliseconds) <= 0)
            return false;
        var buffer = stackalloc byte[LongestLine];
        var got = LinuxNative.Read(descriptor.Number, buffer, LongestLine);
        if (got <= 0 || _pending.Length > LongestMessage)
        {
            Closed = true;
            return false;
        }
        _pending.Append(Encoding.ASCII.GetString(buffer, (int)got));
        return true;
    }

    public void Dispose() => descriptor.Dispose();
}
