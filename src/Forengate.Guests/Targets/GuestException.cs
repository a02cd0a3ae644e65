namespace Forengate.Guests;

/// <summary>Why a live guest could not be seen.</summary>
public enum GuestFailure
{
    /// <summary>No such domain, no such socket.</summary>
    NotFound,

    /// <summary>The domain exists but has no QEMU process now.</summary>
    NotRunning,

    /// <summary>QEMU ended while we were at work.</summary>
    Vanished,

    /// <summary>The host does not let us read the QEMU process, the socket or libvirt.</summary>
    NoRights,

    /// <summary>The monitor takes one client and has one.</summary>
    MonitorBusy,

    /// <summary>The monitor broke off, did not answer in time, or refused a command.</summary>
    MonitorFailed,

    /// <summary>What answers is not QEMU.</summary>
    NotQemu,

    /// <summary>QEMU runs on another host.</summary>
    Remote,

    /// <summary>Guest memory is encrypted against the host (SEV, TDX).</summary>
    Encrypted,

    /// <summary>The host lacks the memory for a copy of the guest's.</summary>
    NoMemory,

    /// <summary>The disk that a copy was to be spilled to fails, or is full.</summary>
    NoDisk,

    /// <summary>libvirt's library is not installed.</summary>
    LibraryMissing,

    /// <summary>libvirt reported an error.</summary>
    Libvirt,

    /// <summary>QEMU's memory map could not be read or did not fit its process.</summary>
    MemoryMap,

    /// <summary>The watchdog could not be started, so the guest was not stopped.</summary>
    Watchdog,

    /// <summary>The guest is in a state in which its memory means nothing yet (incoming migration).</summary>
    BadState,

    /// <summary>The guest would stand still longer than was allowed.</summary>
    TooSlow,
}

/// <summary>A live guest cannot be seen. The message is one line for people: what failed, on what, what to try.</summary>
public sealed class GuestException : IOException
{
    public GuestException()
    {
    }

    public GuestException(string message)
        : base(message)
    {
    }

    public GuestException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    public GuestException(GuestFailure failure, string message, Exception? innerException = null)
        : base(message, innerException) => Failure = failure;

    public GuestFailure Failure { get; } = GuestFailure.MonitorFailed;
}
