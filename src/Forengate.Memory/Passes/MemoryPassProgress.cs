namespace Forengate.Memory;

/// <summary>How far a pass has come.</summary>
/// <param name="Done">Bytes of guest-physical memory that lie behind it, skipped pages included.</param>
/// <param name="Total">Bytes of guest-physical memory in all.</param>
public readonly record struct MemoryPassProgress(ulong Done, ulong Total);
