using System.Net.Sockets;
using System.Text;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>Stands between a client and a real QEMU's QMP socket, and passes everything on; into the panic that QEMU tells it writes what Windows would have told over Hyper-V's crash registers, which only KVM has.</summary>
internal sealed class QmpRelay : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string _behind;
    private readonly string _info;
    private readonly List<Socket> _open = [];
    private readonly Lock _lock = new();

    /// <param name="path">Where it listens.</param>
    /// <param name="behind">QEMU's socket.</param>
    /// <param name="info">GuestPanicInformation as JSON (qapi/run-state.json).</param>
    public QmpRelay(string path, string behind, string info)
    {
        (_behind, _info) = (behind, info);
        _listener.Bind(new UnixDomainSocketEndPoint(path));
        _listener.Listen();
        Begin(Accept);
    }

    /// <summary>How many panics it has rewritten.</summary>
    public int Rewritten { get; private set; }

    private void Accept()
    {
        while (true)
        {
            var client = _listener.Accept();
            var qemu = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            lock (_lock)
                _open.AddRange([client, qemu]);
            qemu.Connect(new UnixDomainSocketEndPoint(_behind));
            Begin(() => Pass(client, qemu, line => line));
            Begin(() => Pass(qemu, client, Announce));
        }
    }

    private string Announce(string line)
    {
        const string Data = "\"data\": {";
        if (!line.Contains("\"GUEST_PANICKED\"", StringComparison.Ordinal))
            return line;
        Rewritten++;
        return line.Replace(Data, $"{Data}\"info\": {_info}, ", StringComparison.Ordinal);
    }

    private static void Pass(Socket from, Socket to, Func<string, string> change)
    {
        try
        {
            using var lines = new StreamReader(new NetworkStream(from));
            while (lines.ReadLine() is { } line)
                to.Send(Encoding.UTF8.GetBytes(change(line) + "\r\n"));
        }
        finally
        {
            from.Dispose();
            to.Dispose();
        }
    }

    private static void Begin(Action work) => new Thread(() =>
    {
        try
        {
            work();
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // An end hung up.
        }
    })
    { IsBackground = true }.Start();

    public void Dispose()
    {
        _listener.Dispose();
        lock (_lock)
            _open.ForEach(socket => socket.Dispose());
    }
}
