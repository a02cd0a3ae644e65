using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>What libvirt.so.0 and libvirt-qemu.so.0 offer for events, and for what is done about them (libvirt-event.h, libvirt-domain.h, libvirt-host.h, libvirt-qemu.h).</summary>
internal static unsafe partial class LibvirtEventNative
{
    private const string Library = "libvirt.so.0";
    private const string QemuLibrary = "libvirt-qemu.so.0";

    // virDomainEventID
    public const int LifecycleEvents = 0;
    public const int RebootEvents = 1;
    public const int WatchdogEvents = 3;
    public const int AgentLifecycleEvents = 18;

    // virDomainEventType
    public const int Started = 2;
    public const int Suspended = 3;
    public const int Resumed = 4;
    public const int Stopped = 5;
    public const int Crashed = 8;

    // virDomainEventStoppedDetailType
    public const int StoppedCrashed = 2;
    public const int StoppedFailed = 5;

    // virDomainEventCrashedDetailType
    public const int CrashedPanicked = 0;
    public const int CrashedCrashLoaded = 1;

    /// <summary>VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED.</summary>
    public const int AgentDisconnected = 2;

    /// <summary>VIR_DOMAIN_LIFECYCLE_CRASH.</summary>
    public const uint OnCrash = 2;

    /// <summary>VIR_DOMAIN_AFFECT_LIVE.</summary>
    public const uint AffectLive = 1;

    /// <summary>VIR_DOMAIN_METADATA_ELEMENT.</summary>
    public const int MetadataElement = 2;

    [LibraryImport(Library, EntryPoint = "virEventRegisterDefaultImpl")]
    public static partial int RegisterDefaultLoop();

    [LibraryImport(Library, EntryPoint = "virEventRunDefaultImpl")]
    public static partial int RunDefaultLoop();

    [LibraryImport(Library, EntryPoint = "virConnectSetKeepAlive")]
    public static partial int SetKeepAlive(nint connection, int seconds, uint count);

    [LibraryImport(Library, EntryPoint = "virConnectRegisterCloseCallback")]
    public static partial int RegisterClose(nint connection, delegate* unmanaged[Cdecl]<nint, int, nint, void> callback, nint opaque, delegate* unmanaged[Cdecl]<nint, void> free);

    [LibraryImport(Library, EntryPoint = "virConnectUnregisterCloseCallback")]
    public static partial int UnregisterClose(nint connection, delegate* unmanaged[Cdecl]<nint, int, nint, void> callback);

    /// <summary>The callback's shape depends on the event: it is passed as a plain pointer.</summary>
    [LibraryImport(Library, EntryPoint = "virConnectDomainEventRegisterAny")]
    public static partial int RegisterEvents(nint connection, nint domain, int eventId, void* callback, nint opaque, delegate* unmanaged[Cdecl]<nint, void> free);

    [LibraryImport(Library, EntryPoint = "virConnectDomainEventDeregisterAny")]
    public static partial int DeregisterEvents(nint connection, int callback);

    [LibraryImport(QemuLibrary, EntryPoint = "virConnectDomainQemuMonitorEventRegister", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int RegisterMonitorEvents(
        nint connection, nint domain, string name, delegate* unmanaged[Cdecl]<nint, nint, byte*, long, uint, byte*, nint, void> callback, nint opaque,
        delegate* unmanaged[Cdecl]<nint, void> free, uint flags);

    [LibraryImport(QemuLibrary, EntryPoint = "virConnectDomainQemuMonitorEventDeregister")]
    public static partial int DeregisterMonitorEvents(nint connection, int callback);

    [LibraryImport(QemuLibrary, EntryPoint = "virDomainQemuAgentCommand", StringMarshalling = StringMarshalling.Utf8)]
    public static partial byte* AgentCommand(nint domain, string command, int seconds, uint flags);

    /// <summary>Since libvirt 3.9.0.</summary>
    [LibraryImport(Library, EntryPoint = "virDomainSetLifecycleAction")]
    public static partial int SetLifecycleAction(nint domain, uint type, uint action, uint flags);

    [LibraryImport(Library, EntryPoint = "virDomainSetMetadata", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int SetMetadata(nint domain, int type, string? text, string? prefix, string uri, uint flags);

    [LibraryImport(Library, EntryPoint = "virDomainReset")]
    public static partial int Reset(nint domain, uint flags);

    [LibraryImport(Library, EntryPoint = "virDomainDestroy")]
    public static partial int Destroy(nint domain);
}
