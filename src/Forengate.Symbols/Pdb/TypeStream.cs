using System.Buffers.Binary;

namespace Forengate.Symbols;

/// <summary>The records of a TPI or IPI stream by their number. A record is a length, a kind and a body; its number is its place.</summary>
internal sealed class TypeStream
{
    // The header.
    private const int HeaderLengthOffset = 4;
    private const int FirstIndexOffset = 8;
    private const int EndIndexOffset = 12;
    private const int RecordBytesOffset = 16;
    private const int SmallestHeader = 56;
    private const int LargestHeader = 1024;

    /// <summary>Numbers below are the language's own types.</summary>
    public const uint FirstIndex = 0x1000;

    private readonly byte[] _bytes;
    private readonly int[] _starts;

    private TypeStream(byte[] bytes, int[] starts) => (_bytes, _starts) = (bytes, starts);

    /// <summary>Bytes of the stream.</summary>
    public int Length => _bytes.Length;

    /// <summary>Records of the stream.</summary>
    public int Count => _starts.Length;

    public uint End => FirstIndex + (uint)Count;

    /// <summary>Finds where each record begins. What the stream lacks of its records is left out and said.</summary>
    public static TypeStream Read(byte[] bytes, string what, SymbolLimits limits, List<string> damage)
    {
        if (bytes.Length < SmallestHeader)
        {
            damage.Add($"{what}: {bytes.Length} bytes are too few for its header");
            return new TypeStream([], []);
        }
        var header = U32(bytes, HeaderLengthOffset);
        var (first, end) = (U32(bytes, FirstIndexOffset), U32(bytes, EndIndexOffset));
        if (header is < SmallestHeader or > LargestHeader || header > bytes.Length || first != FirstIndex || end < first)
        {
            damage.Add($"{what}: a header of {header} bytes and records 0x{first:x} to 0x{end:x} are not believed");
            return new TypeStream([], []);
        }
        var count = Math.Min(end - first, (uint)limits.MaxTypeRecords);
        var stop = header + (int)Math.Min(U32(bytes, RecordBytesOffset), (uint)bytes.Length - header);
        // The smallest record has four bytes.
        var starts = new int[Math.Min(count, (stop - header) / (2 * sizeof(ushort)))];
        var (at, read) = ((int)header, 0);
        for (; read < starts.Length && stop - at >= 2 * sizeof(ushort); read++)
        {
            var length = BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(at));
            if (length < sizeof(ushort) || length > stop - at - sizeof(ushort))
                break;
            starts[read] = at;
            at += sizeof(ushort) + length;
        }
        if (read != end - first)
            damage.Add($"{what}: {read} of {end - first} records could be read, up to byte 0x{at:x}");
        return new TypeStream(bytes, starts[..read]);
    }

    /// <summary>A record's kind and body; false where there is none of that number.</summary>
    public bool TryGet(uint index, out ushort leaf, out ReadOnlySpan<byte> body)
    {
        if (index < FirstIndex || index - FirstIndex >= (uint)_starts.Length)
        {
            leaf = 0;
            body = default;
            return false;
        }
        var record = _bytes.AsSpan(_starts[index - FirstIndex]);
        leaf = BinaryPrimitives.ReadUInt16LittleEndian(record[sizeof(ushort)..]);
        body = record.Slice(2 * sizeof(ushort), BinaryPrimitives.ReadUInt16LittleEndian(record) - sizeof(ushort));
        return true;
    }

    private static uint U32(byte[] bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(offset));
}
