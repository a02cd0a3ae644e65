using System.Net.Sockets;
using System.Text;

namespace Forengate.Lab.Machine;

/// <summary>Lines of text over a unix socket, each wait bounded.</summary>
internal sealed class LineSocket : IDisposable
{
    private const int LongestLine = 16 << 20;
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly byte[] _buffer = new byte[1 << 16];
    private int _start, _end;

    /// <exception cref="IOException">Nobody listens there.</exception>
    public LineSocket(string path)
    {
        try
        {
            _socket.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e)
        {
            _socket.Dispose();
            throw new IOException($"{path}: {e.Message}", e);
        }
    }

    public void Send(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        try
        {
            for (var sent = 0; sent < bytes.Length;)
                sent += _socket.Send(bytes.AsSpan(sent));
        }
        catch (SocketException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    /// <summary>The next line without its end; null when none came by the deadline.</summary>
    /// <exception cref="IOException">The other side closed, or sends a line without end.</exception>
    public string? ReadLine(DateTime deadline)
    {
        using var line = new MemoryStream();
        while (true)
        {
            var end = _buffer.AsSpan(_start, _end - _start).IndexOf((byte)'\n');
            line.Write(_buffer, _start, end < 0 ? _end - _start : end);
            _start = end < 0 ? _end : _start + end + 1;
            if (end >= 0)
                return Encoding.UTF8.GetString(line.GetBuffer(), 0, (int)line.Length).TrimEnd('\r');
            if (line.Length > LongestLine)
                throw new IOException("a line without end");
            var left = deadline - DateTime.UtcNow;
            if (left <= TimeSpan.Zero || !_socket.Poll(left, SelectMode.SelectRead))
            {
                // What came of the line so far stays unread.
                Restore(line);
                return null;
            }
            try
            {
                (_start, _end) = (0, _socket.Receive(_buffer));
            }
            catch (SocketException e)
            {
                throw new IOException(e.Message, e);
            }
            if (_end == 0)
                throw new IOException("the other side closed the connection");
        }
    }

    private void Restore(MemoryStream line)
    {
        if (line.Length > _buffer.Length)
            throw new IOException("a line broke off");
        line.GetBuffer().AsSpan(0, (int)line.Length).CopyTo(_buffer);
        (_start, _end) = (0, (int)line.Length);
    }

    public void Dispose() => _socket.Dispose();
}
