using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Forengate.Symbols.Tests;

/// <summary>A symbol server on this host that answers as it is told, byte for byte: also as no honest server would.</summary>
internal sealed class LoopbackServer : IDisposable
{
    private readonly TcpListener _listener;
    private readonly Func<string, Answer> _answer;
    private readonly X509Certificate2? _certificate;
    private readonly List<string> _asked = [];
    private volatile bool _isOver;

    /// <param name="answer">Says what to send for a path.</param>
    /// <param name="certificate">With its key, for https.</param>
    /// <param name="address">Of this host; null for 127.0.0.1.</param>
    public LoopbackServer(Func<string, Answer> answer, X509Certificate2? certificate = null, IPAddress? address = null)
    {
        (_answer, _certificate, _listener) = (answer, certificate, new TcpListener(address ?? IPAddress.Loopback, 0));
        _listener.Start();
        new Thread(Serve) { IsBackground = true }.Start();
    }

    /// <summary>What to send.</summary>
    /// <param name="Status">"200 OK".</param>
    /// <param name="Body">Its content.</param>
    /// <param name="Headers">Further lines.</param>
    /// <param name="Length">Content-Length where it is not the body's; -1 for none.</param>
    /// <param name="Stall">Then hold the connection open this long.</param>
    /// <param name="IsEndless">Send the body again and again.</param>
    public sealed record Answer(string Status, byte[] Body, string Headers = "", long? Length = null, TimeSpan Stall = default, bool IsEndless = false);

    public static Answer NotFound { get; } = new("404 Not Found", []);

    public string Address => $"{(_certificate is null ? "http" : "https")}://{_listener.LocalEndpoint}/symbols";

    /// <summary>Paths that were asked for, in order.</summary>
    public IReadOnlyList<string> Asked
    {
        get
        {
            lock (_asked)
                return [.. _asked];
        }
    }

    public void Dispose()
    {
        _isOver = true;
        _listener.Stop();
    }

    private void Serve()
    {
        while (!_isOver)
        {
            try
            {
                var client = _listener.AcceptTcpClient();
                new Thread(() => Handle(client)) { IsBackground = true }.Start();
            }
            catch (SocketException)
            {
                return;
            }
        }
    }

    private void Handle(TcpClient client)
    {
        using (client)
        {
            try
            {
                using var stream = Open(client);
                var reader = new StreamReader(stream, Encoding.ASCII);
                var path = reader.ReadLine()?.Split(' ').ElementAtOrDefault(1) ?? "";
                while (reader.ReadLine() is { Length: > 0 })
                {
                }
                lock (_asked)
                    _asked.Add(path);
                var answer = _answer(path);
                var length = answer.Length ?? answer.Body.Length;
                stream.Write(Encoding.ASCII.GetBytes($"HTTP/1.1 {answer.Status}\r\nConnection: close\r\n{(length < 0 ? "" : $"Content-Length: {length}\r\n")}{answer.Headers}\r\n"));
                do
                    stream.Write(answer.Body);
                while (answer.IsEndless && !_isOver);
                for (var waited = TimeSpan.Zero; waited < answer.Stall && !_isOver; waited += TimeSpan.FromMilliseconds(50))
                    Thread.Sleep(50);
            }
            catch (Exception failure) when (failure is IOException or AuthenticationException)
            {
                // The client has gone: that is what some tests are about.
            }
        }
    }

    private Stream Open(TcpClient client)
    {
        if (_certificate is null)
            return client.GetStream();
        var secured = new SslStream(client.GetStream());
        secured.AuthenticateAsServer(_certificate);
        return secured;
    }
}
