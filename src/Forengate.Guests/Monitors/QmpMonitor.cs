using System.Runtime.InteropServices;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>QEMU's monitor over a QMP socket of its own.</summary>
public sealed class QmpMonitor : IGuestMonitor
{
    private static readonly TimeSpan s_greeting = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_command = TimeSpan.FromSeconds(10);
    /// <summary>Stopping waits for the disks to be drained.</summary>
    private static readonly TimeSpan s_stop = TimeSpan.FromSeconds(30);

    private readonly QmpConnection _connection;
    private readonly Lock _turn = new();
    private DateTimeOffset? _stopped;
    private DateTimeOffset? _resumed;

    private QmpMonitor(QmpConnection connection, string path)
    {
        _connection = connection;
        SocketPath = path;
        connection.OnEvent = Note;
    }

    public string SocketPath { get; }

    public string Name => $"qmp:{SocketPath}";

    public string QemuVersion => _connection.QemuVersion;

    public IReadOnlyList<string> Remarks => [];

    /// <summary>The process that listens on the socket: QEMU, or who gave QEMU the socket.</summary>
    public int? PeerProcess => _connection.PeerProcess;

    internal int SocketDescriptor => _connection.SocketDescriptor;

    public TimeSpan? LastStopByEvents => _stopped is { } stopped && _resumed is { } resumed && resumed >= stopped ? resumed - stopped : null;

    /// <exception cref="GuestException">No socket, no rights, busy, or no QMP.</exception>
    public static QmpMonitor Open(string path, CancellationToken ct)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new QmpMonitor(QmpConnection.Open(path, s_greeting, s_command, ct), path);
    }

    public JsonElement Qmp(string command, Action<Utf8JsonWriter>? arguments, CancellationToken ct) => Execute(command, arguments, s_command, ct);

    public string Human(string commandLine, CancellationToken ct)
    {
        var answer = Execute("human-monitor-command", w => w.WriteString("command-line", commandLine), s_command, ct);
        return answer.ValueKind == JsonValueKind.String ? answer.GetString()! : "";
    }

    public void PassDescriptor(string name, int descriptor, CancellationToken ct)
    {
        lock (_turn)
            _connection.Execute("getfd", w => w.WriteString("fdname", name), s_command, ct, descriptor);
    }

    public long AddDescriptor(string note, int descriptor, CancellationToken ct)
    {
        lock (_turn)
            return MonitorCommands.FileSetOf(_connection.Execute(MonitorCommands.AddFile, w => w.WriteString("opaque", note), s_command, ct, descriptor));
    }

    public RunState QueryState(CancellationToken ct) => MonitorCommands.ParseState(Qmp("query-status", null, ct));

    public void Stop(CancellationToken ct) => Execute("stop", null, s_stop, ct);

    public void Continue()
    {
        Execute("cont", null, s_stop, CancellationToken.None);
        // RESUME comes before or just behind the answer: one more command collects it.
        Execute("query-status", null, s_command, CancellationToken.None);
    }

    /// <remarks>An ELF core of a single page, written by QEMU into a memory file that is passed to it: headers and notes of all CPUs, and one page.</remarks>
    public byte[]? ReadCpuNotes(CancellationToken ct, out string? reason)
    {
        const string FileName = "forengate-notes";
        const uint CloseOnExec = 1;
        using var file = new Descriptor(LinuxNative.CreateMemoryFile(FileName, CloseOnExec));
        if (file.IsInvalid)
        {
            reason = "memfd_create: " + LinuxNative.Describe(Marshal.GetLastPInvokeError());
            return null;
        }
        try
        {
            PassDescriptor(FileName, file.Number, ct);
            foreach (var start in CpuNoteFile.PageCandidates)
            {
                try
                {
                    Execute("dump-guest-memory", w => CpuNoteFile.WriteArguments(w, FileName, start), s_stop, ct);
                    reason = null;
                    return CpuNoteFile.ReadAll(file);
                }
                catch (QmpRefusedException) when (start != CpuNoteFile.PageCandidates[^1])
                {
                    PassDescriptor(FileName, file.Number, ct);
                }
            }
            reason = "no page to dump";
            return null;
        }
        catch (QmpRefusedException e)
        {
            reason = e.Message;
            return null;
        }
    }

    private JsonElement Execute(string command, Action<Utf8JsonWriter>? arguments, TimeSpan timeout, CancellationToken ct)
    {
        lock (_turn)
            return _connection.Execute(command, arguments, timeout, ct);
    }

    private void Note(string name, DateTimeOffset? at, JsonElement data)
    {
        if (name == "STOP")
            (_stopped, _resumed) = (at, null);
        else if (name == "RESUME")
            _resumed = at;
    }

    public void Dispose() => _connection.Dispose();
}
