namespace Forengate.Lab.Machine;

/// <summary>The assembled blobs, to be placed at the addresses they were assembled for, and where CPUs start in each mode.</summary>
public sealed record GuestCodeImage(
    byte[] KernelLoop, byte[] SystemCallEntry, byte[] EntryBody, byte[] UserLoop,
    ulong KernelModeStart, ulong UserModeStart, ulong EntryModeStart);
