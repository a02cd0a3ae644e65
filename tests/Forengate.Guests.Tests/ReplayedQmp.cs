using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Forengate.Guests.Tests;

/// <summary>
/// A QMP server for what no machine here can do: the Hyper-V crash registers exist under KVM only. What it says follows QEMU's schema (docs/interop/qmp-spec, qapi/run-state.json), not a
/// recording: it shows that we read what is specified, not what a KVM host sends.
/// </summary>
internal sealed class ReplayedQmp : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("forengate-replay-").FullName;
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly Thread _thread;
    private readonly List<string> _commands = [];
    private Socket? _client;

    public ReplayedQmp()
    {
        _listener.Bind(new UnixDomainSocketEndPoint(Path));
        _listener.Listen(1);
        _thread = new Thread(Serve) { IsBackground = true };
        _thread.Start();
    }

    public string Path => System.IO.Path.Combine(_folder, "qmp");

    /// <summary>What query-status tells.</summary>
    public volatile string Status = "running";

    public IReadOnlyList<string> Commands
    {
        get
        {
            lock (_commands)
                return [.. _commands];
        }
    }

    /// <summary>Sends a line as it is.</summary>
    public void Say(string line) => _client!.Send(Encoding.UTF8.GetBytes(line + "\r\n"));

    /// <summary>The connection breaks off.</summary>
    public void HangUp() => _client!.Shutdown(SocketShutdown.Both);

    private void Serve()
    {
        try
        {
            for (; ; )
            {
                using var client = _listener.Accept();
                _client = client;
                Say("""{"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 9}, "package": ""}, "capabilities": ["oob"]}}""");
                Answer(client);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private void Answer(Socket client)
    {
        var reader = new StreamReader(new NetworkStream(client), Encoding.UTF8);
        try
        {
            while (reader.ReadLine() is { } line)
            {
                using var document = JsonDocument.Parse(line);
                var command = document.RootElement.GetProperty("execute").GetString()!;
                var arguments = document.RootElement.TryGetProperty("arguments", out var given) ? given.GetRawText() : "";
                lock (_commands)
                    _commands.Add(command + arguments);
                var result = command == "query-status" ? $$"""{"running": {{(Status == "running" ? "true" : "false")}}, "singlestep": false, "status": "{{Status}}"}""" : "{}";
                Say($$"""{"return": {{result}}, "id": {{document.RootElement.GetProperty("id").GetInt64()}}}""");
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // Hung up.
        }
    }

    public void Dispose()
    {
        _listener.Shutdown(SocketShutdown.Both);
        _listener.Dispose();
        _client?.Dispose();
        _thread.Join();
        Directory.Delete(_folder, recursive: true);
    }
}
