using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>
/// The fields of a device's saved state (or of a structure in it), found by the names that the stream's description gives them. What is not there, or has another size than a number
/// has, is unknown.
/// </summary>
internal readonly struct DeviceFields
{
    private readonly DescriptionNode _node;
    private readonly ReadOnlyMemory<byte> _data;

    /// <param name="node">Describes it.</param>
    /// <param name="data">The state, from its first field on; may be cut off.</param>
    public DeviceFields(DescriptionNode node, ReadOnlyMemory<byte> data)
    {
        _node = node;
        _data = data;
    }

    /// <summary>A number of 1, 2, 4 or 8 bytes.</summary>
    /// <param name="name">The field's name.</param>
    /// <param name="element">Which, of an array.</param>
    public ulong? Number(string name, int element = 0)
    {
        var bytes = Bytes(name, element, out _).Span;
        return bytes.Length switch
        {
            1 => bytes[0],
            2 => BinaryPrimitives.ReadUInt16BigEndian(bytes),
            4 => BinaryPrimitives.ReadUInt32BigEndian(bytes),
            8 => BinaryPrimitives.ReadUInt64BigEndian(bytes),
            _ => null,
        };
    }

    /// <summary>A structure.</summary>
    /// <param name="name">The field's name.</param>
    /// <param name="element">Which, of an array.</param>
    /// <param name="structName">Name of the structure, where fields of one name have several; null: any.</param>
    public DeviceFields? Struct(string name, int element = 0, string? structName = null)
    {
        var bytes = Bytes(name, element, out var found, structName);
        return found?.Struct is { } inner && !bytes.IsEmpty ? new DeviceFields(inner, bytes) : null;
    }

    /// <summary>A number by its place among the fields, for structures whose names are what a compiler's macro made of them.</summary>
    public ulong? NumberAt(int place) => place < _node.Fields.Count ? Number(_node.Fields[place].Name) : null;

    /// <summary>Raw bytes of a field.</summary>
    public ReadOnlyMemory<byte> Buffer(string name) => Bytes(name, 0, out _);

    /// <summary>The fields of a subsection; null where it was not written.</summary>
    public DeviceFields? Subsection(string name)
    {
        var at = 0L;
        foreach (var member in _node.Fields)
            at += member.FieldBytes ?? int.MaxValue;
        foreach (var subsection in _node.Subsections)
        {
            var header = subsection.SubsectionHeaderBytes;
            if (subsection.StructName == name)
                return at + header <= _data.Length && IsHeader(_data.Span.Slice((int)at, header), name) ? new DeviceFields(subsection, _data[((int)at + header)..]) : null;
            at += subsection.SubsectionBytes ?? int.MaxValue;
        }
        return null;
    }

    private static bool IsHeader(ReadOnlySpan<byte> bytes, string name)
    {
        Span<char> chars = stackalloc char[byte.MaxValue];
        return bytes[0] == MigrationLayout.Subsection && bytes[1] == name.Length && bytes.Length >= 2 + name.Length
            && chars[..Encoding.Latin1.GetChars(bytes.Slice(2, bytes[1]), chars)].SequenceEqual(name);
    }

    private ReadOnlyMemory<byte> Bytes(string name, int element, out DescriptionNode? found, string? structName = null)
    {
        var at = 0L;
        foreach (var member in _node.Fields)
        {
            if (member.FieldBytes is not { } length)
                break;
            // An array is one node with a count, or a node for each element with its index. Fields of one name have a number behind it.
            var isIt = structName is null ? member.Name == name : member.Name.StartsWith(name, StringComparison.Ordinal) && member.Struct?.StructName == structName;
            if (isIt && (member.Index is { } index ? index == element : element < member.Count))
            {
                at += member.Index is null ? member.Size * element : 0;
                found = member;
                return at + member.Size <= _data.Length ? _data.Slice((int)at, (int)member.Size) : default;
            }
            at += length;
        }
        found = null;
        return default;
    }
}
