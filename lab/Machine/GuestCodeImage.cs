namespace Forengate.Lab.Machine;

/// <summary>The assembled blobs, to be placed at the addresses they were assembled for, and where CPUs start in each mode.</summary>
public sealed record GuestCodeImage(
    byte[] KernelLoop, byte[] SystemCallEntry, byte[] EntryBody, byte[] UserLoop,
    ulong KernelModeStart, ulong UserModeStart, ulong EntryModeStart)
{
    /// <summary>
    /// Where the boot ROM jumps to leave for ring 0: loads CR3 from RAX and jumps to R9. Lies in <see cref="EntryBody"/>, because that is mapped under
    /// the kernel's and, with KVA shadow, under the user's tables.
    /// </summary>
    internal ulong LeaveForRing0 { get; init; }

    /// <summary>Where the boot ROM jumps to leave for ring 3: loads CR3 from RAX and returns by SYSRET to RCX with the flags in R11. No stack is touched.</summary>
    internal ulong LeaveForRing3 { get; init; }
}
