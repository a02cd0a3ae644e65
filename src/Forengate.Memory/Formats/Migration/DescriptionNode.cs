using System.Text.Json;

namespace Forengate.Memory;

/// <summary>
/// A field, a structure or a subsection in the description of a device's state. QEMU writes a structure's fields into an object "struct", or, for some kinds, into the field's own
/// object (migration/vmstate.c, migration/vmstate-types.c).
/// </summary>
internal sealed class DescriptionNode
{
    /// <summary>Nodes of one device: a CPU has some 300.</summary>
    private const int MostNodes = 1 << 18;

    /// <summary>QEMU's descriptions nest some ten levels.</summary>
    private const int MostLevels = 48;

    public string Name { get; private set; } = "";

    /// <summary>Name of the structure; of a subsection the name that stands in the stream.</summary>
    public string StructName { get; private set; } = "";

    /// <summary>Bytes of one element.</summary>
    public long Size { get; private set; } = -1;

    /// <summary>Elements, all alike, in one node.</summary>
    public int Count { get; private set; } = 1;

    /// <summary>Which element of an array this is, where each has a node of its own.</summary>
    public int? Index { get; private set; }

    public uint Version { get; private set; }

    public uint Instance { get; private set; }

    public List<DescriptionNode> Fields { get; } = [];

    public List<DescriptionNode> Subsections { get; } = [];

    /// <summary>The structure that a field is; the node itself where its fields are its own.</summary>
    public DescriptionNode? Struct { get; private set; }

    /// <summary>Bytes of all the elements of this field; null where that is nonsense.</summary>
    public long? FieldBytes => Size < 0 || Size > int.MaxValue || Count < 0 ? null : Size * Count;

    /// <summary>Bytes of this structure with its subsections; null where a field has no size.</summary>
    public long? StructBytes
    {
        get
        {
            var sum = 0L;
            foreach (var member in Fields)
            {
                if (member.FieldBytes is not { } bytes)
                    return null;
                sum += bytes;
            }
            foreach (var subsection in Subsections)
            {
                if (subsection.SubsectionBytes is not { } bytes)
                    return null;
                sum += bytes;
            }
            return sum;
        }
    }

    /// <summary>Bytes of this subsection with its header.</summary>
    public long? SubsectionBytes => SubsectionHeaderBytes + StructBytes;

    /// <summary>Subsection byte, length and name, be32 version.</summary>
    public int SubsectionHeaderBytes => 1 + 1 + StructName.Length + sizeof(uint);

    /// <summary>Reads one object.</summary>
    /// <param name="reader">At the object's start; then at its end.</param>
    /// <exception cref="JsonException">No such object.</exception>
    public static DescriptionNode Read(ref Utf8JsonReader reader)
    {
        var nodes = 0;
        return Read(ref reader, ref nodes, 0);
    }

    private static DescriptionNode Read(ref Utf8JsonReader reader, ref int nodes, int level)
    {
        if (reader.TokenType != JsonTokenType.StartObject || level > MostLevels || ++nodes > MostNodes)
            throw new JsonException("no description of a device");
        var node = new DescriptionNode();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("name"u8))
                node.Name = Text(ref reader);
            else if (reader.ValueTextEquals("vmsd_name"u8))
                node.StructName = Text(ref reader);
            else if (reader.ValueTextEquals("size"u8))
                node.Size = Number(ref reader);
            else if (reader.ValueTextEquals("array_len"u8))
                node.Count = (int)Math.Clamp(Number(ref reader), -1, int.MaxValue);
            else if (reader.ValueTextEquals("index"u8))
                node.Index = (int)Math.Clamp(Number(ref reader), 0, int.MaxValue);
            else if (reader.ValueTextEquals("version"u8))
                node.Version = (uint)Number(ref reader);
            else if (reader.ValueTextEquals("instance_id"u8))
                node.Instance = (uint)Number(ref reader);
            else if (reader.ValueTextEquals("fields"u8))
                ReadList(ref reader, node.Fields, ref nodes, level);
            else if (reader.ValueTextEquals("subsections"u8))
                ReadList(ref reader, node.Subsections, ref nodes, level);
            else if (reader.ValueTextEquals("struct"u8))
            {
                reader.Read();
                node.Struct = Read(ref reader, ref nodes, level + 1);
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }
        if (node.Struct is null && node.Fields.Count != 0)
            node.Struct = node;
        return node;
    }

    private static void ReadList(ref Utf8JsonReader reader, List<DescriptionNode> into, ref int nodes, int level)
    {
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
            throw new JsonException("no list of fields");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            into.Add(Read(ref reader, ref nodes, level + 1));
    }

    private static string Text(ref Utf8JsonReader reader) =>
        reader.Read() && reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw new JsonException("a name is no text");

    private static long Number(ref Utf8JsonReader reader) =>
        reader.Read() && reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out var value) ? value : throw new JsonException("a size is no number");
}
