using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Forengate.Lab.Pdb;

/// <summary>Bytes in the order of a PDB: little endian, texts ending in zero, records padded to four bytes.</summary>
internal sealed class RecordWriter
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    public int Length => _bytes.WrittenCount;

    public RecordWriter U8(int value)
    {
        _bytes.Write([(byte)value]);
        return this;
    }

    public RecordWriter U16(int value)
    {
        Span<byte> two = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(two, (ushort)value);
        _bytes.Write(two);
        return this;
    }

    public RecordWriter U32(uint value)
    {
        Span<byte> four = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(four, value);
        _bytes.Write(four);
        return this;
    }

    public RecordWriter U32(int value) => U32((uint)value);

    public RecordWriter Bytes(ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    public RecordWriter Text(string text) => Bytes(Encoding.UTF8.GetBytes(text)).U8(0);

    /// <summary>A numeric leaf: below 0x8000 the number itself, else LF_CHAR, LF_SHORT, LF_USHORT, LF_LONG, LF_ULONG or LF_QUADWORD before it.</summary>
    public RecordWriter Number(long value)
    {
        switch (value)
        {
            case >= 0 and < 0x8000: return U16((int)value);
            case >= sbyte.MinValue and < 0: return U16(0x8000).U8((int)value);
            case >= short.MinValue and < 0: return U16(0x8001).U16((int)value);
            case >= 0 and <= ushort.MaxValue: return U16(0x8002).U16((int)value);
            case >= int.MinValue and < 0: return U16(0x8003).U32((uint)value);
            case >= 0 and <= uint.MaxValue: return U16(0x8004).U32((uint)value);
            default: return U16(0x8009).U32((uint)value).U32((uint)(value >> 32));
        }
    }

    /// <summary>Zeros up to a multiple of four.</summary>
    public RecordWriter Align()
    {
        while (Length % 4 != 0)
            U8(0);
        return this;
    }

    /// <summary>The padding of type records: each byte says how many are left.</summary>
    public RecordWriter Pad()
    {
        for (var left = -Length & 3; left > 0; left--)
            U8(0xF0 + left);
        return this;
    }

    public byte[] ToArray() => _bytes.WrittenSpan.ToArray();
}
