namespace Forengate.Memory;

/// <summary>One frame of AVML's Snappy stream: whole pages of memory and where they lie in the file.</summary>
/// <param name="Start">Guest-physical address, on a page boundary.</param>
/// <param name="FileOffset">Of the frame's data, behind its checksum.</param>
/// <param name="Length">Bytes of memory: whole pages, at most 64 KiB.</param>
/// <param name="Unpacked">Bytes that the frame unpacks to: <paramref name="Length"/>, or a last part of a page more.</param>
/// <param name="Packed">Bytes in the file.</param>
/// <param name="IsPlain">Stored as it is.</param>
/// <param name="Checksum">CRC-32C of the unpacked bytes, masked.</param>
internal readonly record struct SnappyChunk(ulong Start, ulong FileOffset, int Length, int Unpacked, int Packed, bool IsPlain, uint Checksum)
{
    /// <summary>What one costs in an index, in bytes.</summary>
    public const int IndexCost = 40;

    public ulong End => Start + (ulong)Length;
}
