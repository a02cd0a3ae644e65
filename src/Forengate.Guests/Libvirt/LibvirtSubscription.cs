using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// What one connection calls back about all its domains. libvirt calls on the event loop's thread, in which nothing may wait for libvirt: what is heard is handed to the sink and that is all.
/// </summary>
internal sealed unsafe class LibvirtSubscription : IDisposable
{
    private const int KeepAliveSeconds = 10;
    private const uint KeepAliveCount = 6;

    private readonly LibvirtConnection _connection;
    private readonly Action<LibvirtEvent> _sink;
    private readonly List<int> _events = [];
    private readonly List<int> _monitorEvents = [];
    private volatile bool _ended;
    private bool _hearsClose;

    private LibvirtSubscription(LibvirtConnection connection, Action<LibvirtEvent> sink)
    {
        _connection = connection;
        _sink = sink;
    }

    /// <summary>Why the bugcheck of a crash can't be heard with it; null when it can.</summary>
    public string? WithoutMonitorEvents { get; private set; }

    /// <summary>May wait for libvirt: go through <see cref="LibvirtCall.Run"/>.</summary>
    /// <param name="connection">Opened after <see cref="LibvirtEventLoop.Start"/>, for writing.</param>
    /// <param name="sink">Must not wait and must not throw.</param>
    /// <exception cref="GuestException">libvirt refused.</exception>
    public static LibvirtSubscription Make(LibvirtConnection connection, Action<LibvirtEvent> sink)
    {
        var made = new LibvirtSubscription(connection, sink);
        try
        {
            made.Register();
            return made;
        }
        catch
        {
            made.Dispose();
            throw;
        }
    }

    private void Register()
    {
        using var held = new HeldHandle(_connection);
        var connection = held.Value;
        // Where there are no keep-alive messages (a driver without a daemon) there is no connection to break either.
        _ = LibvirtEventNative.SetKeepAlive(connection, KeepAliveSeconds, KeepAliveCount);
        var self = Self();
        if (LibvirtEventNative.RegisterClose(connection, &OnClose, self, &Free) < 0)
            Drop(self, "the end of the connection");
        _hearsClose = true;
        Add(connection, LibvirtEventNative.LifecycleEvents, (delegate* unmanaged[Cdecl]<nint, nint, int, int, nint, int>)&OnLifecycle, "lifecycle events");
        Add(connection, LibvirtEventNative.RebootEvents, (delegate* unmanaged[Cdecl]<nint, nint, nint, void>)&OnReboot, "reboot events");
        Add(connection, LibvirtEventNative.WatchdogEvents, (delegate* unmanaged[Cdecl]<nint, nint, int, nint, void>)&OnWatchdog, "watchdog events");
        Add(connection, LibvirtEventNative.AgentLifecycleEvents, (delegate* unmanaged[Cdecl]<nint, nint, int, int, nint, void>)&OnAgent, "agent events");
        self = Self();
        var monitor = LibvirtEventNative.RegisterMonitorEvents(connection, 0, "GUEST_PANICKED", &OnMonitor, self, &Free, 0);
        if (monitor >= 0)
        {
            _monitorEvents.Add(monitor);
            return;
        }
        GCHandle.FromIntPtr(self).Free();
        WithoutMonitorEvents = LibvirtCall.Failure("QEMU's own events").Message;
    }

    private void Add(nint connection, int id, void* callback, string what)
    {
        var self = Self();
        var number = LibvirtEventNative.RegisterEvents(connection, 0, id, callback, self, &Free);
        if (number < 0)
            Drop(self, what);
        _events.Add(number);
    }

    /// <summary>A handle for each registration: libvirt frees them one by one, when it will never call again.</summary>
    private nint Self() => GCHandle.ToIntPtr(GCHandle.Alloc(this));

    private static void Drop(nint self, string what)
    {
        var failure = LibvirtCall.Failure($"libvirt's {what}");
        GCHandle.FromIntPtr(self).Free();
        throw failure;
    }

    /// <summary>May wait for libvirt, as <see cref="Make"/>. A connection with registrations left is never closed.</summary>
    public void Dispose()
    {
        if (_ended)
            return;
        _ended = true;
        using var held = new HeldHandle(_connection);
        foreach (var number in _events)
            _ = LibvirtEventNative.DeregisterEvents(held.Value, number);
        foreach (var number in _monitorEvents)
            _ = LibvirtEventNative.DeregisterMonitorEvents(held.Value, number);
        if (_hearsClose)
            _ = LibvirtEventNative.UnregisterClose(held.Value, &OnClose);
    }

    private static void Hand(nint opaque, LibvirtEvent what)
    {
        if (GCHandle.FromIntPtr(opaque).Target is LibvirtSubscription { _ended: false } subscription)
            subscription._sink(what);
    }

    private static (Guid Uuid, string Name, int? Id) Of(nint domain)
    {
        var bytes = stackalloc byte[LibvirtNative.UuidLength];
        var uuid = LibvirtNative.DomainUuid(domain, bytes) < 0 ? Guid.Empty : new Guid(new ReadOnlySpan<byte>(bytes, LibvirtNative.UuidLength), bigEndian: true);
        var id = LibvirtNative.DomainId(domain);
        return (uuid, Marshal.PtrToStringUTF8((nint)LibvirtNative.DomainName(domain)) ?? "", id == uint.MaxValue ? null : (int)id);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Free(nint opaque) => GCHandle.FromIntPtr(opaque).Free();

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnClose(nint connection, int reason, nint opaque) => Hand(opaque, new LibvirtEvent.Closed(reason));

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnLifecycle(nint connection, nint domain, int kind, int detail, nint opaque)
    {
        var (uuid, name, id) = Of(domain);
        Hand(opaque, new LibvirtEvent.Lifecycle(uuid, name, id, kind, detail));
        return 0;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnReboot(nint connection, nint domain, nint opaque)
    {
        var (uuid, name, id) = Of(domain);
        Hand(opaque, new LibvirtEvent.Reboot(uuid, name, id));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnWatchdog(nint connection, nint domain, int action, nint opaque)
    {
        var (uuid, name, id) = Of(domain);
        Hand(opaque, new LibvirtEvent.Watchdog(uuid, name, id, action));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnAgent(nint connection, nint domain, int state, int reason, nint opaque)
    {
        var (uuid, name, id) = Of(domain);
        Hand(opaque, new LibvirtEvent.Agent(uuid, name, id, state));
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnMonitor(nint connection, nint domain, byte* name, long seconds, uint microseconds, byte* details, nint opaque)
    {
        const long LastSecond = 253402300799;
        var (uuid, domainName, id) = Of(domain);
        DateTimeOffset? at = seconds is >= 0 and <= LastSecond && microseconds < 1_000_000 ? DateTimeOffset.FromUnixTimeSeconds(seconds).AddMicroseconds(microseconds) : null;
        Hand(opaque, new LibvirtEvent.Panicked(uuid, domainName, id, at, Marshal.PtrToStringUTF8((nint)details)));
    }
}
