using System.Buffers.Binary;
using System.Text;

namespace Forengate.Symbols;

/// <summary>Walks bytes that may end anywhere: what lies behind the end reads as zero, and <see cref="Failed"/> stays set.</summary>
internal ref struct ByteCursor(ReadOnlySpan<byte> bytes)
{
    private ReadOnlySpan<byte> _rest = bytes;

    /// <summary>More was asked for than there is, or a number of no known form.</summary>
    public bool Failed { get; private set; }

    public readonly int Left => _rest.Length;

    public readonly byte Peek => _rest.IsEmpty ? (byte)0 : _rest[0];

    public byte U8() => Take(1) is [var value] ? value : (byte)0;

    public ushort U16() => Take(sizeof(ushort)) is { Length: > 0 } taken ? BinaryPrimitives.ReadUInt16LittleEndian(taken) : (ushort)0;

    public uint U32() => Take(sizeof(uint)) is { Length: > 0 } taken ? BinaryPrimitives.ReadUInt32LittleEndian(taken) : 0;

    public ulong U64() => Take(sizeof(ulong)) is { Length: > 0 } taken ? BinaryPrimitives.ReadUInt64LittleEndian(taken) : 0;

    public ReadOnlySpan<byte> Take(int length)
    {
        if ((uint)length > (uint)_rest.Length)
        {
            Failed = true;
            _rest = default;
            return default;
        }
        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }

    public void Skip(int length) => Take(length);

    /// <summary>Bytes up to a zero, without it.</summary>
    public ReadOnlySpan<byte> Text()
    {
        var end = _rest.IndexOf((byte)0);
        if (end < 0)
        {
            Failed = true;
            _rest = default;
            return default;
        }
        var text = _rest[..end];
        _rest = _rest[(end + 1)..];
        return text;
    }

    public string Name() => Encoding.UTF8.GetString(Text());

    /// <summary>A numeric leaf: a small number plainly, a larger one behind the mark of its form. Unsigned 64-bit values wrap around; of 128-bit ones the lower half counts.</summary>
    public long Numeric()
    {
        var mark = U16();
        if (mark < CodeViewLeaf.FirstNumeric)
            return mark;
        switch (mark)
        {
            case CodeViewLeaf.Char: return (sbyte)U8();
            case CodeViewLeaf.Short: return (short)U16();
            case CodeViewLeaf.UnsignedShort: return U16();
            case CodeViewLeaf.Long: return (int)U32();
            case CodeViewLeaf.UnsignedLong: return U32();
            case CodeViewLeaf.QuadWord or CodeViewLeaf.UnsignedQuadWord: return (long)U64();
            case CodeViewLeaf.OctWord or CodeViewLeaf.UnsignedOctWord:
                var low = (long)U64();
                Skip(sizeof(ulong));
                return low;
            case CodeViewLeaf.VarString:
                Skip(U16());
                return 0;
            case CodeViewLeaf.Utf8String:
                Text();
                return 0;
        }
        if (CodeViewLeaf.LengthOfReal(mark) is var length and > 0)
            Skip(length);
        else
            Failed = true;
        return 0;
    }
}
