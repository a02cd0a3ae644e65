namespace Forengate.Guests;

/// <summary>What is to be done to a guest that has crashed. Numbers as in libvirt's virDomainLifecycleAction.</summary>
public enum CrashAction
{
    /// <summary>Its QEMU is ended ("destroy"; QEMU's own <c>-action panic=shutdown</c>).</summary>
    Destroy = 0,

    /// <summary>It is reset and runs again, in the same QEMU ("restart").</summary>
    Restart = 1,

    /// <summary>libvirt's "rename-restart". Its QEMU driver refuses it; where one takes it, it is "restart".</summary>
    RenameRestart = 2,

    /// <summary>It is left as it is, for somebody to look at ("preserve"; <c>-action panic=pause</c>).</summary>
    Preserve = 3,

    /// <summary>libvirt writes an ELF core into its own folder, then ends QEMU ("coredump-destroy").</summary>
    CoredumpDestroy = 4,

    /// <summary>libvirt writes an ELF core into its own folder, then restarts the guest ("coredump-restart").</summary>
    CoredumpRestart = 5,
}
