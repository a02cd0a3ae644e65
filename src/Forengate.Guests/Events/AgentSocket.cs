using System.Diagnostics;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>
/// A guest agent behind a unix socket of QEMU's. Asks for nothing but a sign of life: guest-sync-delimited with a number that must come back (qga/qapi-schema.json; the 0xFF before it clears what
/// the agent's parser may hold, the 0xFF before the answer marks where it begins).
/// </summary>
internal sealed class AgentSocket(string path) : IDisposable
{
    private const byte Delimiter = 0xFF;
    /// <summary>An answer to what another client asked may lie before ours; nothing of the agent's is longer than this (48 MiB as base64).</summary>
    private const int MostBytes = 64 << 20;
    private const int SliceMicroseconds = 200_000;

    private Socket? _socket;

    /// <summary>Asks and waits. The connection is kept: QEMU serves one client, and a second one would look like a silent agent.</summary>
    public AgentAnswer Ask(TimeSpan patience, CancellationToken ct)
    {
        try
        {
            if (_socket is null && !TryConnect())
                return AgentAnswer.NotAsked;
            var id = RandomNumberGenerator.GetInt32(int.MaxValue);
            _socket!.Send([Delimiter, .. QmpConnection.Encode("guest-sync-delimited", w => w.WriteNumber("id", id), id: null)]);
            return Await(id, patience, ct);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Drop();
            return AgentAnswer.NotAsked;
        }
    }

    private bool TryConnect()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { SendTimeout = 1000 };
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(path));
            _socket = socket;
            return true;
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            socket.Dispose();
            return false;
        }
    }

    private AgentAnswer Await(int id, TimeSpan patience, CancellationToken ct)
    {
        var until = Stopwatch.GetTimestamp() + (long)(patience.TotalSeconds * Stopwatch.Frequency);
        var buffer = new byte[4096];
        var line = new List<byte>();
        for (var total = 0; total < MostBytes && Stopwatch.GetTimestamp() < until;)
        {
            ct.ThrowIfCancellationRequested();
            if (!_socket!.Poll(SliceMicroseconds, SelectMode.SelectRead))
                continue;
            var got = _socket.Receive(buffer);
            if (got == 0)
            {
                // The channel was closed in order: no hang.
                Drop();
                return AgentAnswer.NotAsked;
            }
            total += got;
            foreach (var b in buffer.AsSpan(0, got))
            {
                if (b == Delimiter)
                    line.Clear();
                else if (b != (byte)'\n')
                    line.Add(b);
                else if (IsAnswer(line, id))
                    return AgentAnswer.Answered;
                else
                    line.Clear();
            }
        }
        return AgentAnswer.Silent;
    }

    private static bool IsAnswer(List<byte> line, int id)
    {
        try
        {
            using var document = JsonDocument.Parse(line.ToArray());
            return document.RootElement.Integer("return") == id;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private void Drop()
    {
        _socket?.Dispose();
        _socket = null;
    }

    public void Dispose() => Drop();
}
