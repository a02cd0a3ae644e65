using System.Buffers.Binary;

namespace Forengate.Symbols;

/// <summary>
/// Where a pack keeps the shapes of each structure: its size and its fields' places, once for all builds that agree on them. Made only where all of them lie
/// within their part of the pack.
/// </summary>
internal sealed class PackShapes
{
    private readonly int[] _starts;
    private readonly int[] _counts;
    private readonly int[] _lengths;
    private readonly ushort[] _owners;
    private readonly int[] _slots;

    private PackShapes(int structs, ushort[] owners) =>
        (_starts, _counts, _lengths, _owners, _slots) = (new int[structs], new int[structs], new int[structs], owners, new int[owners.Length]);

    public int StructCount => _starts.Length;

    /// <summary>Finds the shapes; null where they do not fit their bytes, or have a place that lies outside of its structure.</summary>
    /// <param name="pack">The whole pack.</param>
    /// <param name="start">Where the shapes begin in it.</param>
    /// <param name="length">Their bytes.</param>
    /// <param name="names">The pack's columns.</param>
    /// <param name="sizesMayLack">Whether a structure may have fields and no size.</param>
    public static PackShapes? Read(ReadOnlySpan<byte> pack, int start, int length, PackNames names, bool sizesMayLack)
    {
        var shapes = new PackShapes(names.StructCount, names.Owners);
        // Slot 0 is the size.
        for (var field = 0; field < names.Owners.Length; field++)
            shapes._slots[field] = ++shapes._lengths[names.Owners[field]];
        var (at, end) = (start, start + length);
        for (var i = 0; i < shapes.StructCount; i++)
        {
            if (end - at < PackLayout.ShapeCountLength)
                return null;
            shapes._counts[i] = BinaryPrimitives.ReadUInt16LittleEndian(pack[at..]);
            shapes._starts[i] = at += PackLayout.ShapeCountLength;
            shapes._lengths[i] = sizeof(uint) * (shapes._lengths[i] + 1);
            if ((long)shapes._counts[i] * shapes._lengths[i] > end - at)
                return null;
            var next = at + (shapes._counts[i] * shapes._lengths[i]);
            for (; at < next; at += shapes._lengths[i])
            {
                if (!IsSane(pack.Slice(at, shapes._lengths[i]), sizesMayLack))
                    return null;
            }
        }
        return at == end ? shapes : null;
    }

    public int CountOf(int structColumn) => _counts[structColumn];

    public int OwnerOf(int fieldColumn) => _owners[fieldColumn];

    /// <summary>Where in the pack a structure's size is.</summary>
    public int SizeOffset(int structColumn, int shape) => _starts[structColumn] + (shape * _lengths[structColumn]);

    /// <summary>Where in the pack a field's place is.</summary>
    public int PlaceOffset(int fieldColumn, int shape) => SizeOffset(_owners[fieldColumn], shape) + (sizeof(uint) * _slots[fieldColumn]);

    /// <summary>
    /// No kernel structure is larger than a place can say; no field begins behind its structure's end (at it: an array of no elements). Of a layout by version a few fields may be known and the size not.
    /// </summary>
    private static bool IsSane(ReadOnlySpan<byte> shape, bool sizeMayLack)
    {
        var size = BinaryPrimitives.ReadUInt32LittleEndian(shape);
        if (size != PackLayout.None && size > PackLayout.MaxStructSize)
            return false;
        for (var slots = shape[sizeof(uint)..]; !slots.IsEmpty; slots = slots[sizeof(uint)..])
        {
            var value = BinaryPrimitives.ReadUInt32LittleEndian(slots);
            if (value == PackLayout.None)
                continue;
            var place = PackLayout.Unpack(value);
            if ((size == PackLayout.None ? !sizeMayLack : place.Offset > size) || place.BitPosition + place.BitLength > 64)
                return false;
        }
        return true;
    }
}
