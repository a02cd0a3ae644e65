using System.Security.Cryptography;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>QEMU's monitor through libvirt. Stopping and continuing go by libvirt's own calls, so that its idea of the guest's state stays right.</summary>
public sealed class LibvirtMonitor : IGuestMonitor
{
    /// <summary>How long a daemon that was restarted is waited for.</summary>
    private static readonly TimeSpan s_restart = TimeSpan.FromSeconds(30);

    private const int RetryMilliseconds = 200;

    private LibvirtConnection _connection;
    private LibvirtDomain _domain;
    private readonly Lock _turn = new();
    private bool _tainted;
    private bool _gone;

    /// <summary>libvirt's name of its QEMU driver.</summary>
    internal const string QemuDriver = "QEMU";

    private LibvirtMonitor(LibvirtConnection connection, LibvirtDomain domain, string driver)
    {
        Driver = driver;
        _connection = connection;
        _domain = domain;
        Uri = connection.Uri;
        DomainName = domain.Name;
        Uuid = domain.Uuid;
    }

    public string DomainName { get; }

    /// <summary>libvirt's name of the hypervisor's driver.</summary>
    internal string Driver { get; }

    internal LibvirtDomain Domain => _domain;

    internal LibvirtConnection Connection => _connection;

    public Guid Uuid { get; }

    public string Uri { get; }

    public string Name => $"libvirt:{DomainName} at {Uri}";

    public IReadOnlyList<string> Remarks => _tainted
        ? [$"libvirt marks the domain {DomainName} as tainted (custom-monitor), because QEMU's memory map was asked for on its monitor"]
        : [];

    public TimeSpan? LastStopByEvents => null;

    /// <exception cref="GuestException">No libvirt, no such guest, not running, not QEMU, or on another host.</exception>
    public static LibvirtMonitor Open(string uri, string nameOrUuid, CancellationToken ct)
    {
        ArgumentException.ThrowIfNullOrEmpty(uri);
        ArgumentException.ThrowIfNullOrEmpty(nameOrUuid);
        if (LibvirtUri.RemoteHost(uri) is { } host)
            throw new GuestException(GuestFailure.Remote, $"libvirt:{nameOrUuid}: {uri} leads to QEMU on {host}, and memory is read from QEMU's process; run forengate on {host}");
        return OpenAnywhere(uri, nameOrUuid, anyDriver: false, ct);
    }

    /// <summary>As <see cref="Open"/>, and the daemon, and QEMU with it, may be on another host.</summary>
    /// <param name="uri">libvirt URI.</param>
    /// <param name="nameOrUuid">The domain.</param>
    /// <param name="anyDriver">Other hypervisors too.</param>
    /// <param name="ct">Ends the waiting.</param>
    internal static LibvirtMonitor OpenAnywhere(string uri, string nameOrUuid, bool anyDriver, CancellationToken ct)
    {
        var connection = LibvirtConnection.Open(uri, readOnly: false, ct);
        LibvirtDomain? domain = null;
        try
        {
            domain = connection.Find(nameOrUuid, ct) ?? throw NotFound(connection, nameOrUuid, ct);
            var driver = connection.Driver();
            if (driver != QemuDriver && !anyDriver)
                throw new GuestException(GuestFailure.NotQemu, $"libvirt:{nameOrUuid}: {uri} is libvirt's {driver} driver; only QEMU guests can be looked into");
            var info = LibvirtCall.Run("asking for the state", domain.TryDescribe, ct);
            if (info?.Id is null)
                throw new GuestException(GuestFailure.NotRunning, $"libvirt:{nameOrUuid}: the guest does not run ({info?.State.ToString() ?? "gone"}); start it with 'virsh start {nameOrUuid}'");
            return new LibvirtMonitor(connection, domain, driver);
        }
        catch
        {
            domain?.Dispose();
            connection.Dispose();
            throw;
        }
    }

    private static GuestException NotFound(LibvirtConnection connection, string name, CancellationToken ct)
    {
        List<string> names = [];
        try
        {
            foreach (var guest in connection.List(ct))
                names.Add(guest.Name);
        }
        catch (GuestException)
        {
            // Without a list the answer is shorter.
        }
        var near = NearNames.Of(name, names);
        var advice = near.Count > 0 ? $"; did you mean {string.Join(" or ", near)}?"
            : names.Count > 0 ? "; 'forengate guests' lists what is there"
            : "; there is no guest at all";
        return new GuestException(GuestFailure.NotFound, $"libvirt:{name}: no such guest at {connection.Uri}{advice}");
    }

    public JsonElement Qmp(string command, Action<Utf8JsonWriter>? arguments, CancellationToken ct)
    {
        // Hazard (seen with 9.0.0): QEMU's DUMP_COMPLETED without a dump job of libvirt's own ends the daemon.
        if (command == "dump-guest-memory")
            throw new InvalidOperationException("dump-guest-memory must not go past libvirt");
        // Not said twice: a migration that began and was not heard of would be refused, and taken for one that did not begin.
        return MonitorCommands.ReturnOf(Name, command, Monitor(MonitorCommands.Line(command, arguments), human: false, command == "migrate", ct));
    }

    public void PassDescriptor(string name, int descriptor, CancellationToken ct) => Pass("getfd", w => w.WriteString("fdname", name), descriptor, ct);

    public long AddDescriptor(string note, int descriptor, CancellationToken ct) =>
        MonitorCommands.FileSetOf(Pass(MonitorCommands.AddFile, w => w.WriteString("opaque", note), descriptor, ct));

    private JsonElement Pass(string command, Action<Utf8JsonWriter> arguments, int descriptor, CancellationToken ct)
    {
        string? answer;
        lock (_turn)
        {
            _tainted = true;
            answer = LibvirtCall.Run("a monitor command", () => _domain.MonitorCommand(MonitorCommands.Line(command, arguments), descriptor), ct);
        }
        if (answer is null)
            throw new QmpRefusedException(command, "this libvirt passes no descriptors to QEMU (8.2.0 and later do)");
        return MonitorCommands.ReturnOf(Name, command, answer);
    }

    public string Human(string commandLine, CancellationToken ct) => Monitor(commandLine, human: true, once: false, ct);

    private string Monitor(string command, bool human, bool once, CancellationToken ct)
    {
        lock (_turn)
        {
            _tainted = true;
            return Call("a monitor command", domain => domain.MonitorCommand(command, human), once, ct);
        }
    }

    /// <summary>A call that outlives a restart of libvirt's daemon, which leaves QEMU and the guest as they are.</summary>
    private T Call<T>(string what, Func<LibvirtDomain, T> call, bool once, CancellationToken ct)
    {
        var until = Environment.TickCount64 + (_gone ? 0 : (long)s_restart.TotalMilliseconds);
        for (; ; )
        {
            try
            {
                var domain = _domain;
                return LibvirtCall.Run(what, () => call(domain), ct);
            }
            catch (GuestException e) when (e.Failure == GuestFailure.Libvirt && !_connection.IsAlive())
            {
                // It was waited for once.
                _gone = !Reconnect(until, ct);
                if (_gone || once)
                    throw;
            }
        }
    }

    private bool Reconnect(long until, CancellationToken ct)
    {
        for (; ; ct.WaitHandle.WaitOne(RetryMilliseconds))
        {
            ct.ThrowIfCancellationRequested();
            try
            {
                var connection = LibvirtConnection.Open(Uri, readOnly: false, ct);
                if (connection.Find(Uuid.ToString(), ct) is { } domain)
                {
                    // What a call that was left behind may still use is not closed under it.
                    (_connection, _domain) = (connection, domain);
                    return true;
                }
                connection.Dispose();
            }
            catch (GuestException)
            {
                // It is not there yet.
            }
            if (Environment.TickCount64 >= until)
                return false;
        }
    }

    public RunState QueryState(CancellationToken ct) => MonitorCommands.ParseState(Qmp("query-status", null, ct));

    public void Stop(CancellationToken ct)
    {
        lock (_turn)
            Call("stopping the guest", domain => { domain.Suspend(); return true; }, once: true, ct);
    }

    public void Continue()
    {
        lock (_turn)
            Call("continuing the guest", domain => { domain.Resume(); return true; }, once: false, CancellationToken.None);
    }

    /// <remarks>
    /// libvirt's own memory-only dump, written into a pipe of which only the beginning is read: the notes stand before the memory. libvirt ends the dump when the pipe
    /// closes and notes a broken pipe in its log; the guest stays stopped.
    /// </remarks>
    public byte[]? ReadCpuNotes(CancellationToken ct, out string? reason)
    {
        var folder = Path.Combine(Path.GetTempPath(), "forengate-" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)));
        try
        {
            // The daemon may be another user: it must reach the pipe by its unguessable name, and only write.
            Directory.CreateDirectory(folder);
            LinuxNative.ChangeMode(folder, 0b111_001_001);
            using var pipe = NotePipe.Create(Path.Combine(folder, "notes"));
            lock (_turn)
                return pipe.Collect(path => LibvirtCall.Run("reading the registers", () => { _domain.DumpMemory(path); return true; }, ct), ct, out reason);
        }
        catch (Exception e) when (e is (IOException or UnauthorizedAccessException) and not GuestException)
        {
            reason = e.Message;
            return null;
        }
        finally
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
    }

    public void Dispose()
    {
        _domain.Dispose();
        _connection.Dispose();
    }
}
