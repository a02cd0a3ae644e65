using System.Globalization;
using System.Xml;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// What libvirt's description of a running domain (https://libvirt.org/formatdomain.html) says of its memory: how much, by which machine it is placed, which devices add to it.
/// </summary>
internal sealed class DomainDescription
{
    /// <summary>Longer than any description of a real domain: what is longer is refused.</summary>
    private const int MostCharacters = 16 << 20;

    private const int MostDevices = 4096;

    private readonly List<MemoryDevice> _devices = [];

    private DomainDescription(string xml) => Xml = xml;

    /// <summary>A plugged memory device.</summary>
    /// <param name="Model">"dimm", "virtio-mem", "nvdimm", …</param>
    /// <param name="Size">In bytes.</param>
    /// <param name="Plugged">How much of it the guest has now, in bytes.</param>
    /// <param name="Base">Guest-physical; null where libvirt does not say.</param>
    public readonly record struct MemoryDevice(string Model, ulong Size, ulong Plugged, ulong? Base);

    public string Xml { get; }

    /// <summary>"qemu", "kvm", "test", "xen", …</summary>
    public string Type { get; private set; } = "";

    public string Architecture { get; private set; } = "";

    /// <summary>"pc-q35-7.2"; null where the domain has none.</summary>
    public string? Machine { get; private set; }

    /// <summary>All memory, devices' included, in bytes.</summary>
    public ulong TotalMemory { get; private set; }

    public IReadOnlyList<MemoryDevice> Devices => _devices;

    /// <summary>Memory without devices', in bytes.</summary>
    public ulong InitialMemory => TotalMemory - Math.Min(TotalMemory, _devices.Aggregate(0UL, (sum, device) => sum + device.Size));

    /// <summary>"sev", "sev-snp", "tdx": what keeps memory from the host; null for none.</summary>
    public string? Encryption { get; private set; }

    /// <summary>A video card, whose window lies in RAM's first MiB.</summary>
    public bool HasVideo { get; private set; }

    /// <summary>True where the command line was given options of QEMU's own that move RAM (max-ram-below-4g), which libvirt does not follow.</summary>
    public bool MovesRam { get; private set; }

    /// <exception cref="GuestException">It is no description of a domain.</exception>
    public static DomainDescription Parse(string xml)
    {
        if (xml.Length > MostCharacters)
            throw new GuestException(GuestFailure.Libvirt, $"libvirt's description of the domain has {xml.Length} characters: that is none");
        var description = new DomainDescription(xml);
        try
        {
            // No DTD, no entities, nothing fetched: the text may come from another host.
            using var reader = XmlReader.Create(new StringReader(xml), new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null, IgnoreComments = true, IgnoreWhitespace = true });
            description.Read(reader);
        }
        catch (Exception e) when (e is XmlException or FormatException or OverflowException)
        {
            throw new GuestException(GuestFailure.Libvirt, $"libvirt's description of the domain can't be read: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        return description;
    }

    private void Read(XmlReader reader)
    {
        reader.MoveToContent();
        if (reader.LocalName != "domain")
            throw new FormatException($"it begins with <{reader.LocalName}>");
        Type = reader.GetAttribute("type") ?? "";
        // Path of names within <domain>: enough to tell <memory> of the domain from <memory> of a device.
        while (reader.Read())
        {
            if (reader.NodeType != XmlNodeType.Element)
                continue;
            switch (reader.Depth, reader.LocalName)
            {
                case (1, "memory"):
                    TotalMemory = ReadSize(reader);
                    break;
                case (1, "launchSecurity"):
                    Encryption = reader.GetAttribute("type") ?? "of an unknown kind";
                    break;
                case (2, "type"):
                    Architecture = reader.GetAttribute("arch") ?? "";
                    Machine = reader.GetAttribute("machine");
                    break;
                case (2, "video"):
                    HasVideo = true;
                    break;
                case (2, "memory") when _devices.Count < MostDevices:
                    _devices.Add(ReadDevice(reader));
                    break;
                case (2, "arg"):
                    MovesRam |= reader.GetAttribute("value")?.Contains("max-ram-below-4g", StringComparison.Ordinal) == true;
                    break;
                default:
                    break;
            }
        }
    }

    private static MemoryDevice ReadDevice(XmlReader reader)
    {
        var model = reader.GetAttribute("model") ?? "";
        ulong size = 0;
        ulong? current = null, at = null;
        if (!reader.IsEmptyElement)
        {
            var depth = reader.Depth;
            while (reader.Read() && reader.Depth > depth)
            {
                if (reader.NodeType != XmlNodeType.Element)
                    continue;
                if (reader.LocalName == "size")
                    size = ReadSize(reader);
                else if (reader.LocalName == "current")
                    current = ReadSize(reader);
                else if (reader.LocalName == "address")
                    at = ReadHexadecimal(reader.GetAttribute("base")) ?? at;
            }
        }
        return new MemoryDevice(model, size, current ?? size, at);
    }

    /// <summary>A number with its unit, as libvirt writes and takes it (KiB without one).</summary>
    private static ulong ReadSize(XmlReader reader)
    {
        var unit = reader.GetAttribute("unit") ?? "KiB";
        if (reader.IsEmptyElement || !reader.Read() || reader.NodeType != XmlNodeType.Text)
            return 0;
        var number = decimal.Parse(reader.Value.Trim(), NumberStyles.None, CultureInfo.InvariantCulture);
        decimal scale = unit switch
        {
            "b" or "bytes" => 1,
            "KB" => 1000,
            "k" or "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "M" or "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "G" or "GiB" => 1 << 30,
            "T" or "TiB" => 1L << 40,
            _ => throw new FormatException($"a size in '{unit}'"),
        };
        var bytes = number * scale;
        return bytes < 1UL << PhysicalAddress.Bits ? (ulong)bytes : throw new FormatException($"a memory of {number} {unit}");
    }

    private static ulong? ReadHexadecimal(string? text) =>
        text is not null && text.StartsWith("0x", StringComparison.Ordinal) && ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, null, out var value) ? value : null;
}
