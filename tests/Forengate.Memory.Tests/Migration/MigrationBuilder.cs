using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory.Tests.Migration;

/// <summary>Makes migration streams by hand, byte for byte as QEMU's documentation has them, for shapes that the installed QEMU does not write.</summary>
internal sealed class MigrationBuilder
{
    private const uint RamId = 2;

    private readonly List<byte> _bytes = [];

    public long Position => _bytes.Count;

    public MigrationBuilder Header(string? machine = "pc-i440fx-9.9", params string[] capabilities)
    {
        U32(0x5145564D).U32(3);
        if (machine is null)
            return this;
        U8(7).U32((uint)machine.Length).Text(machine);
        if (capabilities.Length != 0)
        {
            U8(5).Name("configuration/capabilities").U32(1).U32((uint)capabilities.Length);
            foreach (var capability in capabilities)
                Name(capability);
        }
        return this;
    }

    public MigrationBuilder RamStart(params (string Name, ulong Length)[] blocks)
    {
        SectionStart(RamId, "ram", 4);
        U64(blocks.Aggregate(0UL, (sum, block) => sum + block.Length) | 4);
        foreach (var (name, length) in blocks)
            Name(name).U64(length);
        return EndOfRam();
    }

    public MigrationBuilder SectionStart(uint id, string name, uint version) => U8(1).U32(id).Name(name).U32(0).U32(version);

    public MigrationBuilder RamPart(bool last = false) => U8(last ? (byte)3 : (byte)2).U32(RamId);

    public MigrationBuilder EndOfRam(bool footer = true)
    {
        U64(0x10);
        return footer ? Footer(RamId) : this;
    }

    public MigrationBuilder Footer(uint id) => U8(0x7E).U32(id);

    public MigrationBuilder Page(string? block, ulong offset, byte[] bytes) => Record(block, offset, 0x08).Bytes(bytes);

    public MigrationBuilder Filled(string? block, ulong offset, byte value) => Record(block, offset, 0x02).U8(value);

    public MigrationBuilder Delta(string? block, ulong offset, byte[] change) => Record(block, offset, 0x40).U8(1).U16((ushort)change.Length).Bytes(change);

    /// <summary>The head of a page's record; without a name it belongs to the block of the record before.</summary>
    public MigrationBuilder Record(string? block, ulong offset, ulong flags)
    {
        U64(offset | flags | (block is null ? 0x20UL : 0));
        return block is null ? this : Name(block);
    }

    public MigrationBuilder Full(uint id, string name, byte[] state) => U8(4).U32(id).Name(name).U32(0).U32(1).Bytes(state).Footer(id);

    public MigrationBuilder End(string? description = null)
    {
        U8(0);
        return description is null ? this : U8(6).U32((uint)description.Length).Text(description);
    }

    public MigrationBuilder U8(byte value)
    {
        _bytes.Add(value);
        return this;
    }

    public MigrationBuilder U16(ushort value)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, value);
        return Bytes(bytes);
    }

    public MigrationBuilder U32(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return Bytes(bytes);
    }

    public MigrationBuilder U64(ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        return Bytes(bytes);
    }

    public MigrationBuilder Name(string name) => U8((byte)name.Length).Text(name);

    public MigrationBuilder Text(string text) => Bytes(Encoding.Latin1.GetBytes(text));

    public MigrationBuilder Bytes(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public byte[] ToArray() => [.. _bytes];
}
