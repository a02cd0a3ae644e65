using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// What stands before each stretch of memory in LiME's and AVML's files (LiME, src/lime.h, lime_mem_range_header; AVML, src/image.rs): 32 bytes, little-endian.
/// </summary>
/// <param name="Magic">Which of the two.</param>
/// <param name="Version">LiME: 1. AVML: 1 as LiME, 2 with Snappy.</param>
/// <param name="Start">Physical address of the first byte.</param>
/// <param name="Last">Physical address of the last byte.</param>
internal readonly record struct LimeHeader(uint Magic, uint Version, ulong Start, ulong Last)
{
    public const int Size = 32;

    /// <summary>"EMiL" in the file.</summary>
    public const uint LimeMagic = 0x4C69_4D45;

    /// <summary>"AVML" in the file.</summary>
    public const uint AvmlMagic = 0x4C4D_5641;

    public const uint PlainVersion = 1;
    public const uint SnappyVersion = 2;

    private const int VersionAt = 4;
    private const int StartAt = 8;
    private const int LastAt = 16;

    public static LimeHeader Parse(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadUInt32LittleEndian(bytes),
        BinaryPrimitives.ReadUInt32LittleEndian(bytes[VersionAt..]),
        BinaryPrimitives.ReadUInt64LittleEndian(bytes[StartAt..]),
        BinaryPrimitives.ReadUInt64LittleEndian(bytes[LastAt..]));

    public byte[] ToBytes()
    {
        var bytes = new byte[Size];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(VersionAt), Version);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(StartAt), Start);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(LastAt), Last);
        return bytes;
    }
}
