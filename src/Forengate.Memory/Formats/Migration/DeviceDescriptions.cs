using System.Buffers.Binary;
using System.Text.Json;

namespace Forengate.Memory;

/// <summary>The JSON description of all devices' state that QEMU (2.3 and later) puts behind a stream: the only thing that tells how long a device's section is and what lies where in it.</summary>
internal sealed class DeviceDescriptions
{
    /// <summary>Devices of one machine that are believed.</summary>
    private const int MostDevices = 1 << 16;

    /// <summary>The text has no control bytes, so the mark before it is the last of its value but for those in its own length.</summary>
    private const int MostMarks = 16;

    private static readonly JsonReaderOptions Options = new() { MaxDepth = 128 };

    private readonly ReadOnlyMemory<byte> _text;
    private readonly Dictionary<(string, uint), Queue<DeviceDescription>> _byName = [];

    private DeviceDescriptions(ReadOnlyMemory<byte> text) => _text = text;

    /// <summary>In the order of the stream.</summary>
    public List<DeviceDescription> Devices { get; } = [];

    /// <summary>The stream's configuration section, where it is described (QEMU 8.0 and later).</summary>
    public DescriptionNode? Configuration { get; private set; }

    /// <summary>Looks for a description that ends where the stream ends.</summary>
    /// <param name="tail">The stream's last bytes; zeros behind the description don't matter.</param>
    /// <param name="start">Where in <paramref name="tail"/> its mark stands; -1 when there is none.</param>
    public static DeviceDescriptions? Find(ReadOnlySpan<byte> tail, out int start)
    {
        start = -1;
        var end = tail.LastIndexOfAnyExcept((byte)0) + 1;
        if (end == 0 || tail[end - 1] != (byte)'}')
            return null;
        var before = end;
        for (var marks = 0; marks < MostMarks && before > 0; marks++)
        {
            before = tail[..before].LastIndexOf(MigrationLayout.Description);
            if (before < 0)
                break;
            var text = before + 1 + sizeof(uint);
            if (text < end && BinaryPrimitives.ReadUInt32BigEndian(tail[(before + 1)..]) == (uint)(end - text) && tail[text] == (byte)'{')
            {
                start = before;
                return Parse(tail[text..end].ToArray());
            }
        }
        return null;
    }

    /// <summary>Reads the text; null when it is none. What can't be read of it is left out.</summary>
    public static DeviceDescriptions? Parse(byte[] text)
    {
        var result = new DeviceDescriptions(text);
        try
        {
            var reader = new Utf8JsonReader(text, Options);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return null;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("devices"u8))
                {
                    reader.Read();
                    result.ReadDevices(ref reader);
                }
                else if (reader.ValueTextEquals("configuration"u8))
                {
                    reader.Read();
                    result.Configuration = DescriptionNode.Read(ref reader);
                }
                else
                {
                    reader.Read();
                    reader.Skip();
                }
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
        }
        return result.Devices.Count == 0 ? null : result;
    }

    /// <summary>The description of the next section of this name and instance; each is given once.</summary>
    public DeviceDescription? Take(string name, uint instance) =>
        _byName.TryGetValue((name, instance), out var queue) && queue.TryDequeue(out var device) ? device : null;

    /// <summary>The fields of a device; null where its description is broken.</summary>
    public DescriptionNode? Fields(string name, uint instance)
    {
        foreach (var device in Devices)
        {
            if (device.Instance != instance || device.Name != name)
                continue;
            try
            {
                var reader = new Utf8JsonReader(_text.Span.Slice(device.Start, device.Length), Options);
                return reader.Read() ? DescriptionNode.Read(ref reader) : null;
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                return null;
            }
        }
        return null;
    }

    private void ReadDevices(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
            return;
        while (reader.Read() && reader.TokenType == JsonTokenType.StartObject && Devices.Count < MostDevices)
        {
            var start = (int)reader.TokenStartIndex;
            var node = DescriptionNode.Read(ref reader);
            var device = new DeviceDescription(node.Name, node.Instance, node.Version, node.StructBytes, start, (int)reader.BytesConsumed - start);
            Devices.Add(device);
            if (!_byName.TryGetValue((device.Name, device.Instance), out var queue))
                _byName.Add((device.Name, device.Instance), queue = new Queue<DeviceDescription>(1));
            queue.Enqueue(device);
        }
    }
}
