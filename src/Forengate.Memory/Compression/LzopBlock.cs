namespace Forengate.Memory;

/// <summary>A block of an lzop stream.</summary>
/// <param name="Start">Where its bytes lie in the unpacked stream.</param>
/// <param name="FileOffset">Where its packed bytes lie in the file.</param>
/// <param name="Packed">How many of those there are; as many as <paramref name="Length"/> where it is stored plain.</param>
/// <param name="Length">Unpacked.</param>
internal readonly record struct LzopBlock(long Start, long FileOffset, int Packed, int Length);
