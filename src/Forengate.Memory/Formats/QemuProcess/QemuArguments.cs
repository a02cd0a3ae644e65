using System.Globalization;
using System.Text.Json;

namespace Forengate.Memory;

/// <summary>A memory backend as the command line makes it.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Size">In bytes.</param>
/// <param name="Path">The file or folder it lies in; null for memory without a name.</param>
public readonly record struct QemuBackend(string Id, ulong Size, string? Path)
{
    /// <summary>"ram", "memfd", "file" …; null where it is no object of the command line.</summary>
    public string? Kind { get; init; }

    /// <summary>True where huge pages were asked for (<c>hugetlb=on</c>).</summary>
    public bool HugePages { get; init; }
}

/// <summary>A QMP monitor that listens on a unix socket.</summary>
/// <param name="Path">As it was given: a relative one means QEMU's own folder.</param>
/// <param name="Waits">True where QEMU does not begin before somebody connects (<c>wait=on</c>, its default).</param>
public readonly record struct QemuMonitorSocket(string Path, bool Waits);

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
    private readonly HashSet<string> _modules = new(StringComparer.Ordinal);
    private readonly Dictionary<string, QemuMonitorSocket> _sockets = new(StringComparer.Ordinal);
    private readonly List<string> _monitors = [];
    private readonly List<QemuMonitorSocket> _direct = [];
    private string? _machineBackend;
    private ulong _mostRam;

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

    /// <summary>RAM with everything plugged that may be (<c>maxmem</c>), in bytes.</summary>
    public ulong MostRam => Math.Max(_mostRam, RamSize + PluggedRam);

    /// <summary>Modules (pc-dimm) that the machine began with, in bytes.</summary>
    public ulong PluggedRam => _modules.Aggregate(0UL, (sum, id) => sum + (_backends.TryGetValue(id, out var backend) ? backend.Size : 0));

    /// <summary>CPUs the machine began with (<c>-smp</c>).</summary>
    public int Cpus { get; private set; } = 1;

    /// <summary>NUMA nodes; 1 where none were given.</summary>
    public int NumaNodes => Math.Max(1, _nodes.Count);

    /// <summary>The guest's UUID; null where none was given.</summary>
    public Guid? Uuid { get; private set; }

    /// <summary>Where all RAM lies without a backend (<c>-mem-path</c>); null where it was not given.</summary>
    public string? MemoryPath { get; private set; }

    /// <summary>True where libvirt started it: its monitor has a name that libvirt gives.</summary>
    public bool IsOfLibvirt { get; private set; }

    /// <summary>QMP monitors on unix sockets with a path, in the order given.</summary>
    public IReadOnlyList<QemuMonitorSocket> MonitorSockets => [.. _direct, .. _monitors.Where(_sockets.ContainsKey).Select(id => _sockets[id])];

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
            if (option is not ("m" or "machine" or "M" or "object" or "numa" or "device" or "name" or "smp" or "uuid" or "mem-path" or "qmp" or "qmp-pretty" or "chardev" or "mon"))
                option = null;
        }
        return result;
    }

    private void Take(string option, string value)
    {
        switch (option)
        {
            case "m":
                var memory = Fields(value, "size");
                RamSize = Size(memory.GetValueOrDefault("size"), 1UL << 20) ?? RamSize;
                _mostRam = Size(memory.GetValueOrDefault("maxmem"), 1UL << 20) ?? _mostRam;
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
                var device = Fields(value, "driver");
                if (device.GetValueOrDefault("memdev") is { } backend)
                    _devices.Add(backend);
                if (device.GetValueOrDefault("driver") == "pc-dimm" && device.GetValueOrDefault("memdev") is { } module)
                    _modules.Add(module);
                break;
            case "smp":
                Cpus = Processors(Fields(value, "cpus")) ?? Cpus;
                break;
            case "uuid":
                Uuid = Guid.TryParse(value, out var uuid) ? uuid : Uuid;
                break;
            case "mem-path":
                MemoryPath = value;
                break;
            case "qmp" or "qmp-pretty":
                TakeMonitor(value);
                break;
            case "chardev":
                TakeSocket(Fields(value, "backend"));
                break;
            case "mon":
                var monitor = Fields(value, "chardev");
                if (monitor.GetValueOrDefault("mode") == "control" && monitor.GetValueOrDefault("chardev") is { } name)
                    _monitors.Add(name);
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
            _backends[id] = new QemuBackend(id, size, fields.GetValueOrDefault("mem-path")) { Kind = fields["qom-type"]["memory-backend-".Length..], HugePages = IsOn(fields.GetValueOrDefault("hugetlb")) };
    }

    /// <summary>"unix:PATH,server=on,wait=off", or the name of a character device.</summary>
    private void TakeMonitor(string value)
    {
        const string Unix = "unix:";
        var fields = Fields(value, "address");
        if (fields.GetValueOrDefault("address") is not { } address)
            return;
        if (!address.StartsWith(Unix, StringComparison.Ordinal))
            _monitors.Add(address.StartsWith("chardev:", StringComparison.Ordinal) ? address["chardev:".Length..] : address);
        else if (Socket(address[Unix.Length..], fields) is { } socket)
            _direct.Add(socket);
    }

    private void TakeSocket(Dictionary<string, string> fields)
    {
        if (fields.GetValueOrDefault("backend") != "socket" || fields.GetValueOrDefault("id") is not { } id)
            return;
        // src/qemu/qemu_command.c of libvirt names it so since ever.
        IsOfLibvirt |= id == "charmonitor";
        if (fields.GetValueOrDefault("path") is { } path && Socket(path, fields) is { } socket)
            _sockets[id] = socket;
    }

    /// <summary>Null where QEMU is the one that connects, or the socket has no path.</summary>
    private static QemuMonitorSocket? Socket(string path, Dictionary<string, string> fields) =>
        path.Length == 0 || IsOn(fields.GetValueOrDefault("abstract")) || !IsOn(fields.GetValueOrDefault("server"))
            ? null : new QemuMonitorSocket(path, !fields.ContainsKey("nowait") && fields.GetValueOrDefault("wait") is not ("off" or "no" or "false"));

    private static bool IsOn(string? value) => value is "on" or "yes" or "true";

    /// <summary>As qemu(1) has it: "cpus", else what the topology multiplies to.</summary>
    private static int? Processors(Dictionary<string, string> fields)
    {
        if (Count("cpus") is { } given)
            return given;
        if (Count("maxcpus") is { } most)
            return most;
        var product = 1L;
        foreach (var level in (ReadOnlySpan<string>)["sockets", "dies", "clusters", "cores", "threads"])
            product = Math.Min(product * (Count(level) ?? 1), int.MaxValue);
        return (int)product;

        int? Count(string field) => int.TryParse(fields.GetValueOrDefault(field), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0 ? number : null;
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
            else if (part.Length != 0)
                // A name alone switches it on.
                fields[part] = "on";
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
