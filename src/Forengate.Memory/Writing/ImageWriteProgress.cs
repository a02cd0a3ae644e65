namespace Forengate.Memory;

/// <summary>How far a write is.</summary>
/// <param name="Done">Bytes of guest memory dealt with.</param>
/// <param name="Total">Bytes of guest memory.</param>
public readonly record struct ImageWriteProgress(ulong Done, ulong Total);
