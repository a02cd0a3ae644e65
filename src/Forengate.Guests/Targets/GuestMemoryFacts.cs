using System.Globalization;
using System.Xml;
using System.Xml.Linq;

namespace Forengate.Guests;

/// <summary>What a guest's memory is, by libvirt's description of the domain: known to whoever may list guests.</summary>
public sealed record GuestMemoryFacts
{
    /// <summary>A domain's description has some ten KiB.</summary>
    private const int LongestDescription = 16 << 20;

    private const int MostDevices = 4096;

    /// <summary>All memory the guest has with what is plugged, in bytes; 0 where the description does not say.</summary>
    public ulong Total { get; init; }

    /// <summary>The most it can have when everything is plugged that may be, in bytes.</summary>
    public ulong Maximum { get; init; }

    /// <summary>Of <see cref="Total"/>, DIMMs and what virtio-mem devices have given, in bytes.</summary>
    public ulong Plugged { get; init; }

    /// <summary>"anonymous", "memfd", "file" or "hugepages": what the host keeps it in.</summary>
    public string Backend { get; init; } = Anonymous;

    /// <summary>NUMA nodes of the guest; 1 where it has none of its own.</summary>
    public int NumaNodes { get; init; } = 1;

    /// <summary>What memory lies in where nothing is said.</summary>
    public const string Anonymous = "anonymous";

    /// <summary>Reads a domain's description (libvirt, "Domain XML format": memory, maxMemory, memoryBacking, cpu/numa, devices/memory).</summary>
    /// <param name="xml">As libvirt gave it; bounded, no DTD is read.</param>
    /// <returns>Null where it is no such description.</returns>
    public static GuestMemoryFacts? Parse(string xml)
    {
        ArgumentNullException.ThrowIfNull(xml);
        if (xml.Length > LongestDescription)
            return null;
        XElement domain;
        try
        {
            using var reader = XmlReader.Create(new StringReader(xml), new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null, MaxCharactersInDocument = LongestDescription });
            domain = XElement.Load(reader);
        }
        catch (XmlException)
        {
            return null;
        }
        var backing = domain.Element("memoryBacking");
        var source = backing?.Element("source")?.Attribute("type")?.Value;
        var total = Size(domain.Element("memory"));
        return new GuestMemoryFacts
        {
            Total = total,
            Maximum = Math.Max(total, Size(domain.Element("maxMemory"))),
            Plugged = Plug(domain),
            Backend = backing?.Element("hugepages") is not null ? "hugepages" : source is "memfd" or "file" ? source : Anonymous,
            NumaNodes = Math.Max(1, domain.Element("cpu")?.Element("numa")?.Elements("cell").Count() ?? 1),
        };
    }

    /// <summary>Only what an operating system has as RAM: neither persistent memory nor enclaves.</summary>
    private static ulong Plug(XElement domain)
    {
        var sum = 0UL;
        foreach (var device in domain.Element("devices")?.Elements("memory").Take(MostDevices) ?? [])
        {
            var target = device.Element("target");
            sum += device.Attribute("model")?.Value switch
            {
                "dimm" => Size(target?.Element("size")),
                "virtio-mem" => Size(target?.Element("current") ?? target?.Element("requested")),
                _ => 0,
            };
        }
        return sum;
    }

    /// <summary>A size with its unit; libvirt itself writes KiB, and takes others.</summary>
    private static ulong Size(XElement? element)
    {
        if (element is null || !ulong.TryParse(element.Value.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return 0;
        var unit = element.Attribute("unit")?.Value switch
        {
            "b" or "bytes" => 1UL,
            "MiB" or "M" => 1UL << 20,
            "GiB" or "G" => 1UL << 30,
            "TiB" or "T" => 1UL << 40,
            _ => 1UL << 10,
        };
        return number > ulong.MaxValue / unit ? 0 : number * unit;
    }
}
