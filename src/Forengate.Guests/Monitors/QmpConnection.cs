using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>
/// A QMP conversation over a unix socket: one JSON object a line, answers matched by id, events set aside (QEMU, docs/interop/qmp-spec).
/// Not safe for concurrent use; <see cref="QmpMonitor"/> takes turns.
/// </summary>
internal sealed class QmpConnection : IDisposable
{
    /// <summary>No answer of QEMU's is longer than this (a flat view with thousands of sections is some 100 KiB).</summary>
    private const int MaxLine = 64 << 20;

    private readonly Socket _socket;
    private readonly string _path;
    private byte[] _buffer = new byte[64 << 10];
    private int _start;
    private int _end;
    private long _nextId;

    private QmpConnection(Socket socket, string path)
    {
        _socket = socket;
        _path = path;
    }

    /// <summary>Called for each event with its name, QEMU's time stamp and its data (undefined where it has none; good during the call only).</summary>
    public Action<string, DateTimeOffset?, JsonElement>? OnEvent { get; set; }

    /// <summary>Descriptor number of the socket, for passing it on.</summary>
    public int SocketDescriptor => (int)_socket.Handle;

    /// <summary>QEMU's version as greeted ("7.2.22").</summary>
    public string QemuVersion { get; private set; } = "";

    /// <summary>Process that listens on the socket, by the kernel's word; null where it does not tell.</summary>
    public int? PeerProcess
    {
        get
        {
            const int SolSocket = 1;
            const int SoPeerCred = 17;
            Span<byte> credentials = stackalloc byte[12];
            try
            {
                _socket.GetRawSocketOption(SolSocket, SoPeerCred, credentials);
            }
            catch (SocketException)
            {
                return null;
            }
            var pid = BinaryPrimitives.ReadInt32LittleEndian(credentials);
            return pid > 0 ? pid : null;
        }
    }

    /// <summary>Connects, waits for the greeting and leaves the negotiation mode.</summary>
    public static QmpConnection Open(string path, TimeSpan greetingTimeout, TimeSpan timeout, CancellationToken ct)
    {
        if (!File.Exists(path))
            throw new GuestException(GuestFailure.NotFound, $"qmp:{path}: there is no such socket; start QEMU with -qmp unix:{path},server=on,wait=off");
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var connection = new QmpConnection(socket, path);
        try
        {
            connection.Connect(greetingTimeout);
            connection.Greet(greetingTimeout, ct);
            connection.Execute("qmp_capabilities", null, timeout, ct);
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private void Connect(TimeSpan patience)
    {
        try
        {
            // Where others wait for their turn already, connecting itself waits: for this long (unix(7), SO_SNDTIMEO).
            _socket.SendTimeout = (int)patience.TotalMilliseconds;
            _socket.Connect(new UnixDomainSocketEndPoint(_path));
            _socket.SendTimeout = 0;
        }
        catch (ArgumentException e)
        {
            throw new GuestException(GuestFailure.NotFound, $"qmp:{_path}: the path is too long for a unix socket", e);
        }
        catch (SocketException e)
        {
            throw e.SocketErrorCode switch
            {
                SocketError.AccessDenied => new GuestException(
                    GuestFailure.NoRights, $"qmp:{_path}: no right to connect; run as the user QEMU runs as, or as root", e),
                SocketError.WouldBlock => Busy(e),
                _ => new GuestException(
                    GuestFailure.NotRunning, $"qmp:{_path}: nothing listens on this socket ({e.Message}); is QEMU still running?", e),
            };
        }
    }

    private GuestException Busy(Exception? inner) => new(
        GuestFailure.MonitorBusy,
        $"qmp:{_path}: QEMU takes one client on this monitor and does not greet us, so another program has it (libvirt?); use libvirt:NAME, end that program, or give QEMU a second -qmp socket",
        inner);

    private void Greet(TimeSpan timeout, CancellationToken ct)
    {
        JsonDocument? greeting;
        try
        {
            greeting = ReadLine(Deadline(timeout), ct);
        }
        catch (GuestException e) when (e.Failure == GuestFailure.MonitorFailed && e.InnerException is TimeoutException)
        {
            throw Busy(e);
        }
        catch (GuestException e) when (e.Failure == GuestFailure.Vanished)
        {
            throw new GuestException(GuestFailure.NotQemu, $"qmp:{_path}: what listens here closed the connection without a QMP greeting; is it a QMP monitor (-qmp or -mon mode=control)?", e);
        }
        using (greeting)
        {
            if (greeting is null || greeting.RootElement.ValueKind != JsonValueKind.Object || !greeting.RootElement.TryGetProperty("QMP", out var qmp))
                throw new GuestException(GuestFailure.NotQemu, $"qmp:{_path}: what answers here does not speak QMP; is it a human monitor or another program's socket?");
            QemuVersion = Version(qmp);
        }
    }

    private static string Version(JsonElement qmp)
    {
        if (!qmp.TryGetObject("version", out var version) || !version.TryGetObject("qemu", out var qemu))
            return "";
        return string.Create(null, $"{qemu.Integer("major")}.{qemu.Integer("minor")}.{qemu.Integer("micro")}");
    }

    /// <summary>Runs one command; with <paramref name="descriptor"/> ≥ 0 passes a file along.</summary>
    public JsonElement Execute(string command, Action<Utf8JsonWriter>? arguments, TimeSpan timeout, CancellationToken ct, int descriptor = -1)
    {
        var id = ++_nextId;
        var bytes = Encode(command, arguments, id);
        var deadline = Deadline(timeout);
        Send(bytes, descriptor);
        for (; ; )
        {
            JsonDocument? document;
            try
            {
                document = ReadLine(deadline, ct);
            }
            catch (GuestException e) when (e.InnerException is TimeoutException)
            {
                throw new GuestException(GuestFailure.MonitorFailed, $"qmp:{_path}: QEMU did not answer '{command}' within {timeout.TotalSeconds:0.#} s", e.InnerException);
            }
            if (document is null)
                continue;
            using (document)
            {
                var root = document.RootElement;
                if (root.ValueKind != JsonValueKind.Object || !IsFor(root, id))
                    continue;
                if (root.TryGetProperty("return", out var result))
                    return result.Clone();
                var text = root.TryGetObject("error", out var error) ? error.Text("desc") : null;
                throw new QmpRefusedException(command, text ?? "no reason given");
            }
        }
    }

    private bool IsFor(JsonElement root, long id)
    {
        if (root.TryGetProperty("event", out var name) && name.ValueKind == JsonValueKind.String)
        {
            root.TryGetObject("data", out var data);
            OnEvent?.Invoke(name.GetString()!, TimeStamp(root), data);
            return false;
        }
        return root.TryGetProperty("id", out var answered) && answered.ValueKind == JsonValueKind.Number && answered.TryGetInt64(out var number) && number == id;
    }

    /// <summary>Waits until something may have come, or the connection ends; anybody may give commands meanwhile.</summary>
    public bool WaitReadable(TimeSpan patience)
    {
        try
        {
            return _socket.Poll(patience, SelectMode.SelectRead);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return true;
        }
    }

    /// <summary>Hands on the events that have come, without waiting for more.</summary>
    /// <exception cref="GuestException">QEMU closed the connection.</exception>
    public void DrainEvents()
    {
        for (; ; )
        {
            var newline = _buffer.AsSpan(_start, _end - _start).IndexOf((byte)'\n');
            if (newline >= 0)
            {
                var line = _buffer.AsMemory(_start, newline);
                _start += newline + 1;
                using var document = Parse(line);
                if (document is not null && document.RootElement.ValueKind == JsonValueKind.Object)
                    IsFor(document.RootElement, id: 0);
                continue;
            }
            MakeRoom();
            int received;
            try
            {
                received = LinuxNative.ReceiveNow(SocketDescriptor, _buffer.AsSpan(_end));
            }
            catch (ObjectDisposedException e)
            {
                throw Gone(e);
            }
            if (received == -1)
                return;
            if (received <= 0)
                throw Gone(null);
            _end += received;
        }
    }

    /// <summary>Ends the conversation from any thread: who waits in it is told that QEMU closed it.</summary>
    public void HangUp()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // It has ended by itself.
        }
    }

    private static DateTimeOffset? TimeStamp(JsonElement root)
    {
        const long LastSecond = 253402300799;
        if (!root.TryGetObject("timestamp", out var stamp) || stamp.Integer("seconds") is not (>= 0 and <= LastSecond) || stamp.Integer("microseconds") is not (>= 0 and < 1_000_000))
            return null;
        return DateTimeOffset.FromUnixTimeSeconds(stamp.Integer("seconds")!.Value).AddMicroseconds(stamp.Integer("microseconds")!.Value);
    }

    /// <summary>One command as it goes over the wire, newline included.</summary>
    internal static byte[] Encode(string command, Action<Utf8JsonWriter>? arguments, long? id)
    {
        var output = new ArrayBufferWriter<byte>(256);
        using (var writer = new Utf8JsonWriter(output))
        {
            writer.WriteStartObject();
            writer.WriteString("execute", command);
            if (arguments is not null)
            {
                writer.WriteStartObject("arguments");
                arguments(writer);
                writer.WriteEndObject();
            }
            if (id is { } number)
                writer.WriteNumber("id", number);
            writer.WriteEndObject();
        }
        output.Write("\n"u8);
        return output.WrittenSpan.ToArray();
    }

    private void Send(byte[] bytes, int descriptor)
    {
        try
        {
            if (descriptor >= 0)
            {
                if (!LinuxNative.SendWithDescriptor(SocketDescriptor, bytes, descriptor))
                    throw Gone(null);
                return;
            }
            for (var sent = 0; sent < bytes.Length;)
                sent += _socket.Send(bytes, sent, bytes.Length - sent, SocketFlags.None);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Gone(e);
        }
    }

    private GuestException Gone(Exception? inner) =>
        new(GuestFailure.Vanished, $"qmp:{_path}: QEMU closed the monitor; the guest ended while we were at work", inner);

    private static long Deadline(TimeSpan timeout) => Stopwatch.GetTimestamp() + (long)(timeout.TotalSeconds * Stopwatch.Frequency);

    /// <summary>The next line as JSON; null for a line that is none (QEMU never sends one).</summary>
    private JsonDocument? ReadLine(long deadline, CancellationToken ct)
    {
        var searched = _start;
        for (; ; )
        {
            var newline = _buffer.AsSpan(searched, _end - searched).IndexOf((byte)'\n');
            if (newline >= 0)
            {
                var line = _buffer.AsMemory(_start, searched + newline - _start);
                _start = searched + newline + 1;
                return Parse(line);
            }
            MakeRoom();
            searched = _end;
            Receive(deadline, ct);
        }
    }

    private static JsonDocument? Parse(ReadOnlyMemory<byte> line)
    {
        try
        {
            // The buffer is reused: the document must own its bytes.
            return JsonDocument.Parse(line.ToArray(), new JsonDocumentOptions { MaxDepth = 64 });
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private void MakeRoom()
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }
        if (_end < _buffer.Length)
            return;
        if (_buffer.Length >= MaxLine)
            throw new GuestException(GuestFailure.MonitorFailed, $"qmp:{_path}: an answer is longer than {MaxLine >> 20} MiB: this is no QEMU");
        Array.Resize(ref _buffer, _buffer.Length * 2);
    }

    private void Receive(long deadline, CancellationToken ct)
    {
        const int SliceMicroseconds = 50_000;
        try
        {
            for (; ; )
            {
                ct.ThrowIfCancellationRequested();
                var left = (deadline - Stopwatch.GetTimestamp()) * 1_000_000.0 / Stopwatch.Frequency;
                if (left <= 0)
                    throw new GuestException(GuestFailure.MonitorFailed, $"qmp:{_path}: no answer in time", new TimeoutException());
                if (!_socket.Poll((int)Math.Min(left + 1, SliceMicroseconds), SelectMode.SelectRead))
                    continue;
                // The watchdog may have read it before us.
                var received = LinuxNative.ReceiveNow(SocketDescriptor, _buffer.AsSpan(_end));
                if (received == -1)
                    continue;
                if (received <= 0)
                    throw Gone(null);
                _end += received;
                return;
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Gone(e);
        }
    }

    public void Dispose() => _socket.Dispose();
}
