using System.Globalization;
using System.Text.Json;

namespace Forengate.Memory;

/// <summary>A memory backend as the command line makes it.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Size">In bytes.</param>
/// <param name="Path">The file or folder it lies in; null for memory without a name.</param>
public readonly record struct QemuBackend(string Id, ulong Size, string? Path);

/// <summary>
/// What QEMU's command line says of a guest's memory: <c>-m</c>, <c>-machine</c>, <c>-object memory-backend-*</c>, <c>-numa</c>, <c>-device</c>, in both notations
/// (<c>key=value,…</c> and JSON), as qemu(1) describes them. All that is left where QEMU answers no more, or is dead.
/// </summary>
public sealed class QemuArguments
{
    /// <summary>QEMU's own default, in bytes (qemu(1), -m).</summary>
    private const ulong DefaultRam = 128UL << 20;

    /// <summary>More options than any command line has; what lies behind is not looked at.</summary>
    private const int MostArguments = 65_536;

    private readonly Dictionary<string, QemuBackend> _backends = new(StringComparer.Ordinal);
    private readonly List<Node> _nodes = [];
    private readonly HashSet<string> _devices = new(StringComparer.Ordinal);
    private string? _machineBackend;

    private readonly record struct Node(ulong Number, string? Backend, ulong Size);

    private QemuArguments()
    {
    }

    /// <summary>The machine's type as it was given: "pc-q35-7.2"; null: QEMU's default.</summary>
    public string? Machine { get; private set; }

    /// <summary>The guest's name (<c>-name</c>); null where none was given.</summary>
    public string? GuestName { get; private set; }

    /// <summary>All RAM without memory devices, in bytes.</summary>
    public ulong RamSize { get; private set; } = DefaultRam;

    /// <summary>The most RAM below 4 GiB (<c>max-ram-below-4g</c>), in bytes; null where it was not given.</summary>
    public ulong? MostBelow4G { get; private set; }

    /// <summary>True where guest memory was kept out of core files (<c>dump-guest-core=off</c>, as libvirt sets it).</summary>
    public bool KeepsOutOfCores { get; private set; }

    /// <summary>Backends that are no part of main RAM: those of DIMMs, of virtio-mem, of shared memory devices.</summary>
    public IReadOnlyCollection<string> DeviceBackends => _devices;

    /// <summary>The blocks main RAM is made of, from address 0 on. Without a backend it is the one block "pc.ram".</summary>
    public IReadOnlyList<QemuBackend> MainRam()
    {
        if (_machineBackend is not null)
            return [_backends.TryGetValue(_machineBackend, out var backend) ? backend : new QemuBackend(_machineBackend, RamSize, null)];
        var nodes = _nodes.Where(node => node.Backend is not null).OrderBy(node => node.Number).ToList();
        if (nodes.Count == 0 || nodes.Exists(node => !_backends.ContainsKey(node.Backend!)))
            return [new QemuBackend("pc.ram", RamSize, null)];
        return [.. nodes.Select(node => _backends[node.Backend!])];
    }

    /// <summary>Reads what concerns memory; all else is passed over, and so is what can't be read.</summary>
    public static QemuArguments Parse(IEnumerable<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        var result = new QemuArguments();
        string? option = null;
        foreach (var argument in arguments.Take(MostArguments))
        {
            if (option is not null)
                result.Take(option, argument);
            // QEMU takes one dash or two.
            option = option is null && argument.StartsWith('-') ? argument.TrimStart('-') : null;
            if (option is not ("m" or "machine" or "M" or "object" or "numa" or "device" or "name"))
                option = null;
        }
        return result;
    }

    private void Take(string option, string value)
    {
        switch (option)
        {
            case "m":
                RamSize = Size(Fields(value, "size").GetValueOrDefault("size"), 1UL << 20) ?? RamSize;
                break;
            case "machine" or "M":
                TakeMachine(Fields(value, "type"));
                break;
            case "object":
                TakeObject(Fields(value, "qom-type"));
                break;
            case "numa":
                TakeNode(Fields(value, "type"));
                break;
            case "device":
                if (Fields(value, "driver").GetValueOrDefault("memdev") is { } backend)
                    _devices.Add(backend);
                break;
            default:
                GuestName = Fields(value, "guest").GetValueOrDefault("guest") ?? GuestName;
                break;
        }
    }

    private void TakeMachine(Dictionary<string, string> fields)
    {
        Machine = fields.GetValueOrDefault("type") ?? Machine;
        _machineBackend = fields.GetValueOrDefault("memory-backend") ?? _machineBackend;
        MostBelow4G = Size(fields.GetValueOrDefault("max-ram-below-4g"), 1) ?? MostBelow4G;
        KeepsOutOfCores |= fields.GetValueOrDefault("dump-guest-core") is "off" or "no" or "false";
    }

    private void TakeObject(Dictionary<string, string> fields)
    {
        if (!fields.GetValueOrDefault("qom-type", "").StartsWith("memory-backend-", StringComparison.Ordinal) || fields.GetValueOrDefault("id") is not { } id)
            return;
        if (Size(fields.GetValueOrDefault("size"), 1) is { } size)
            _backends[id] = new QemuBackend(id, size, fields.GetValueOrDefault("mem-path"));
    }

    private void TakeNode(Dictionary<string, string> fields)
    {
        if (fields.GetValueOrDefault("type") != "node")
            return;
        var number = ulong.TryParse(fields.GetValueOrDefault("nodeid"), NumberStyles.None, CultureInfo.InvariantCulture, out var given) ? given : (ulong)_nodes.Count;
        _nodes.Add(new Node(number, fields.GetValueOrDefault("memdev"), Size(fields.GetValueOrDefault("mem"), 1UL << 20) ?? 0));
    }

    /// <summary>Keys and values of one option, in either notation; the first may lack its key.</summary>
    private static Dictionary<string, string> Fields(string value, string first)
    {
        var fields = new Dictionary<string, string>(StringComparer.Ordinal);
        if (value.StartsWith('{'))
        {
            AddJson(value, fields);
            return fields;
        }
        // A comma inside a value is doubled.
        var parts = value.Replace(",,", "\0", StringComparison.Ordinal).Split(',');
        for (var i = 0; i < parts.Length; i++)
        {
            var part = parts[i].Replace('\0', ',');
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals > 0)
                fields[part[..equals]] = part[(equals + 1)..];
            else if (i == 0)
                fields[first] = part;
        }
        return fields;
    }

    private static void AddJson(string value, Dictionary<string, string> fields)
    {
        try
        {
            using var document = JsonDocument.Parse(value);
            foreach (var property in document.RootElement.EnumerateObject())
                fields[property.Name] = property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString()! : property.Value.GetRawText();
        }
        catch (JsonException)
        {
            // Not ours to judge: QEMU would not have started with it.
        }
    }

    /// <summary>A size as QEMU takes it: a number, with a suffix of powers of 1024 or without.</summary>
    private static ulong? Size(string? text, ulong unit)
    {
        if (string.IsNullOrEmpty(text))
            return null;
        var shift = char.ToUpperInvariant(text[^1]) switch { 'B' => 0, 'K' => 10, 'M' => 20, 'G' => 30, 'T' => 40, 'P' => 50, _ => -1 };
        var digits = shift >= 0 ? text[..^1] : text;
        decimal most = 1UL << PhysicalAddress.Bits;
        if (!decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) || number <= 0 || number > most)
            return null;
        var bytes = number * (shift >= 0 ? 1UL << shift : unit);
        return bytes < most ? (ulong)bytes & ~(ulong)Page.OffsetMask : null;
    }
}
