using System.Text.Json;
using System.Text.Json.Nodes;

namespace Forengate.Lab.Machine;

/// <summary>A QMP command that QEMU refused, or an answer that did not come in time.</summary>
public sealed class QmpException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>One connection to a QEMU monitor (QMP: one JSON object a line, events in between).</summary>
public sealed class QmpClient : IDisposable
{
    private readonly LineSocket _socket;
    private readonly Queue<JsonElement> _events = new();
    private readonly string _path;

    /// <summary>Connects and leaves capabilities negotiation mode.</summary>
    /// <exception cref="QmpException">Nobody listens, or another client holds the monitor.</exception>
    public QmpClient(string path)
    {
        _path = path;
        try
        {
            _socket = new LineSocket(path);
        }
        catch (IOException e)
        {
            throw new QmpException($"QMP {path}: cannot connect: {e.Message}", e);
        }
        try
        {
            var deadline = DateTime.UtcNow + TimeSpan.FromSeconds(5);
            if (Read(deadline) is null)
                throw new QmpException($"QMP {path}: no greeting; does another client hold this monitor?");
            Execute("qmp_capabilities");
        }
        catch
        {
            _socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends a command (a bare name, or the whole JSON object) and returns its <c>return</c>.</summary>
    /// <param name="command">A command's name, or a JSON object with <c>execute</c>.</param>
    /// <param name="arguments">Arguments for a bare name.</param>
    /// <param name="timeout">How long the answer may take; 30 seconds when not given.</param>
    /// <exception cref="QmpException">QEMU refused, went away or did not answer in time.</exception>
    public JsonElement Execute(string command, JsonObject? arguments = null, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(command);
        var text = command;
        if (!command.StartsWith('{'))
        {
            var request = new JsonObject { ["execute"] = command };
            if (arguments is not null)
                request["arguments"] = arguments;
            text = request.ToJsonString();
        }
        var deadline = DateTime.UtcNow + (timeout ?? TimeSpan.FromSeconds(30));
        try
        {
            _socket.Send(text + "\n");
        }
        catch (IOException e)
        {
            throw new QmpException($"QMP {_path}: {e.Message}", e);
        }
        while (Read(deadline) is { } answer)
        {
            if (answer.TryGetProperty("return", out var value))
                return value;
            if (answer.TryGetProperty("error", out var error))
                throw new QmpException($"QMP {text}: {error.GetProperty("desc").GetString()}");
            _events.Enqueue(answer);
        }
        throw new QmpException($"QMP {text}: no answer in time");
    }

    /// <summary>Runs a command of the human monitor.</summary>
    public string Hmp(string command) =>
        Execute("human-monitor-command", new JsonObject { ["command-line"] = command }).GetString() ?? "";

    /// <summary>Waits for an event of this name, those before it are dropped; null when it did not come in time.</summary>
    public JsonElement? WaitFor(string name, TimeSpan timeout)
    {
        var deadline = DateTime.UtcNow + timeout;
        while ((_events.TryDequeue(out var queued) ? queued : Read(deadline)) is { } message)
        {
            if (message.TryGetProperty("event", out var found) && found.ValueEquals(name))
                return message;
        }
        return null;
    }

    private JsonElement? Read(DateTime deadline)
    {
        try
        {
            var line = _socket.ReadLine(deadline);
            return line is null ? null : JsonElement.Parse(line);
        }
        catch (Exception e) when (e is IOException or JsonException)
        {
            throw new QmpException($"QMP {_path}: {e.Message}", e);
        }
    }

    public void Dispose() => _socket.Dispose();
}
