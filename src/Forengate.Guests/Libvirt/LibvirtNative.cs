using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>The calls of libvirt.so.0 and libvirt-qemu.so.0 that are used here (libvirt/libvirt.h, libvirt-domain.h, libvirt-qemu.h, virterror.h). The libraries are loaded by the first call.</summary>
internal static unsafe partial class LibvirtNative
{
    private const string Library = "libvirt.so.0";
    private const string QemuLibrary = "libvirt-qemu.so.0";

    /// <summary>VIR_UUID_BUFLEN.</summary>
    public const int UuidLength = 16;

    // virErrorNumber
    public const int VIR_ERR_NO_CONNECT = 5;
    public const int VIR_ERR_AUTH_FAILED = 45;
    public const int VIR_ERR_NO_DOMAIN = 42;
    public const int VIR_ERR_SYSTEM_ERROR = 38;
    public const int VIR_ERR_OPERATION_INVALID = 55;
    public const int VIR_ERR_AUTH_UNAVAILABLE = 79;
    public const int VIR_ERR_ACCESS_DENIED = 88;

    /// <summary>VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP.</summary>
    public const uint MonitorCommandHuman = 1;

    /// <summary>VIR_DUMP_MEMORY_ONLY.</summary>
    public const uint DumpMemoryOnly = 1 << 4;

    /// <summary>VIR_MEMORY_PHYSICAL.</summary>
    public const uint MemoryPhysical = 1 << 1;

    /// <summary>VIR_DOMAIN_PAUSED, virDomainState.</summary>
    public const int Paused = 3;

    // virDomainPausedReason
    public const int PausedForMigration = 2;
    public const int PausedForSave = 3;
    public const int PausedForDump = 4;
    public const int PausedForSnapshot = 9;
    public const int PausedForStart = 11;

    /// <summary>struct _virDomainInfo.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct DomainInfo
    {
        public byte State;
        /// <summary>KiB.</summary>
        public nuint MaxMemory;
        /// <summary>KiB.</summary>
        public nuint Memory;
        public ushort VirtualCpus;
        public ulong CpuTime;
    }

    /// <summary>The beginning of struct _virError.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Error
    {
        public int Code;
        public int Domain;
        public byte* Message;
        public int Level;
    }

    [LibraryImport(Library, EntryPoint = "virInitialize")]
    public static partial int Initialize();

    [LibraryImport(Library, EntryPoint = "virSetErrorFunc")]
    public static partial void SetErrorFunction(void* userData, delegate* unmanaged[Cdecl]<void*, void*, void> function);

    [LibraryImport(Library, EntryPoint = "virGetLastError")]
    public static partial Error* LastError();

    [LibraryImport(Library, EntryPoint = "virResetLastError")]
    public static partial void ResetLastError();

    [LibraryImport(Library, EntryPoint = "virConnectOpen", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint Open(string uri);

    [LibraryImport(Library, EntryPoint = "virConnectOpenReadOnly", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint OpenReadOnly(string uri);

    [LibraryImport(Library, EntryPoint = "virConnectClose")]
    public static partial int Close(nint connection);

    [LibraryImport(Library, EntryPoint = "virConnectIsAlive")]
    public static partial int IsAlive(nint connection);

    [LibraryImport(Library, EntryPoint = "virConnectGetType")]
    public static partial byte* DriverName(nint connection);

    [LibraryImport(Library, EntryPoint = "virConnectListAllDomains")]
    public static partial int ListAllDomains(nint connection, nint** domains, uint flags);

    [LibraryImport(Library, EntryPoint = "virDomainLookupByName", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint LookupByName(nint connection, string name);

    [LibraryImport(Library, EntryPoint = "virDomainLookupByUUID")]
    public static partial nint LookupByUuid(nint connection, byte* uuid);

    [LibraryImport(Library, EntryPoint = "virDomainFree")]
    public static partial int FreeDomain(nint domain);

    [LibraryImport(Library, EntryPoint = "virDomainGetName")]
    public static partial byte* DomainName(nint domain);

    [LibraryImport(Library, EntryPoint = "virDomainGetUUID")]
    public static partial int DomainUuid(nint domain, byte* uuid);

    [LibraryImport(Library, EntryPoint = "virDomainGetID")]
    public static partial uint DomainId(nint domain);

    [LibraryImport(Library, EntryPoint = "virDomainGetInfo")]
    public static partial int DomainInformation(nint domain, DomainInfo* info);

    /// <summary>Major * 1,000,000 + minor * 1,000 + release.</summary>
    [LibraryImport(Library, EntryPoint = "virConnectGetVersion")]
    public static partial int HypervisorVersion(nint connection, ulong* version);

    [LibraryImport(Library, EntryPoint = "virDomainSuspend")]
    public static partial int Suspend(nint domain);

    [LibraryImport(Library, EntryPoint = "virDomainResume")]
    public static partial int Resume(nint domain);

    [LibraryImport(Library, EntryPoint = "virDomainCoreDumpWithFormat", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int CoreDump(nint domain, string path, uint format, uint flags);

    /// <summary>At most 4 MiB a call go through the remote protocol (REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX, src/remote/remote_protocol.x).</summary>
    [LibraryImport(Library, EntryPoint = "virDomainMemoryPeek")]
    public static partial int MemoryPeek(nint domain, ulong start, nuint size, void* buffer, uint flags);

    [LibraryImport(Library, EntryPoint = "virDomainGetXMLDesc")]
    public static partial byte* XmlDescription(nint domain, uint flags);

    [LibraryImport(Library, EntryPoint = "virDomainGetState")]
    public static partial int DomainState(nint domain, int* state, int* reason, uint flags);

    [LibraryImport(Library, EntryPoint = "virConnectGetHostname")]
    public static partial byte* HostName(nint connection);

    [LibraryImport(QemuLibrary, EntryPoint = "virDomainQemuMonitorCommand", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int MonitorCommand(nint domain, string command, byte** result, uint flags);

    /// <summary>Since libvirt 8.2.0.</summary>
    [LibraryImport(QemuLibrary, EntryPoint = "virDomainQemuMonitorCommandWithFiles", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int MonitorCommandWithFiles(
        nint domain, string command, uint fileCount, int* files, uint* filesBack, int** filesBackList, byte** result, uint flags);

    [LibraryImport("libc", EntryPoint = "free")]
    public static partial void Free(void* memory);

    /// <summary>libvirt prints errors to stderr unless it is given something else to do with them; we report them ourselves.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Ignore(void* userData, void* error)
    {
    }

    public static void SilenceErrors() => SetErrorFunction(null, &Ignore);
}
