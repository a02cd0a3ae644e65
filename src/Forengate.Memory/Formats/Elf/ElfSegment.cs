using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>One program header, widened to 64 bits (gABI 4+, chapter 5, Elf32_Phdr and Elf64_Phdr).</summary>
internal readonly record struct ElfSegment(uint Type, ulong FileOffset, PhysicalAddress Physical, ulong FileSize, ulong MemorySize)
{
    public const uint Load = 1;
    public const uint Note = 4;

    public static ElfSegment Parse(ReadOnlySpan<byte> bytes, bool is64) => is64
        ? new ElfSegment(
            BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]),
            new PhysicalAddress(BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..])),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[32..]),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[40..]))
        : new ElfSegment(
            BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]),
            new PhysicalAddress(BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..])),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[20..]));

    /// <summary>Writes a 64-bit program header, without a virtual address, flags or alignment: QEMU leaves them 0 too.</summary>
    public void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Type);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[8..], FileOffset);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[24..], Physical.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[32..], FileSize);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[40..], MemorySize);
    }
}
