using System.Globalization;
using System.Xml;

namespace Forengate.Memory;

/// <summary>What an image needs of a domain's XML: the guest's name, its machine, and where its memory devices lie. Read as hostile text: no DTD, nothing fetched, bounded.</summary>
internal sealed class LibvirtDomainXml
{
    private const int MostDevices = 1024;

    /// <summary>Elements within elements; a domain's XML has some ten.</summary>
    private const int MostDepth = 256;

    private const int LongestName = 4096;

    private LibvirtDomainXml()
    {
    }

    public string? Name { get; private set; }

    /// <summary>Machine type, as "pc-q35-7.2".</summary>
    public string? Machine { get; private set; }

    public List<LibvirtMemoryDevice> MemoryDevices { get; } = [];

    /// <summary>Why the text was not read to its end, as the rest of a sentence; null when it was.</summary>
    public string? Trouble { get; private set; }

    /// <summary>Reads as much as there is of a domain's XML.</summary>
    public static LibvirtDomainXml Parse(string text)
    {
        var domain = new LibvirtDomainXml();
        try
        {
            using var reader = XmlReader.Create(new StringReader(text), new XmlReaderSettings
            {
                DtdProcessing = DtdProcessing.Prohibit,
                XmlResolver = null,
                IgnoreComments = true,
                IgnoreProcessingInstructions = true,
                MaxCharactersInDocument = text.Length,
            });
            domain.Read(reader);
        }
        catch (XmlException e)
        {
            domain.Trouble = $"is damaged at line {e.LineNumber}";
        }
        return domain;
    }

    private void Read(XmlReader reader)
    {
        var path = new List<string>();
        var device = new MemoryDevice();
        var (dimms, virtio) = (0, 0);
        while (reader.Read())
        {
            switch (reader.NodeType)
            {
                case XmlNodeType.Element:
                    if (reader.Depth >= MostDepth)
                    {
                        Trouble = $"nests more than {MostDepth} elements";
                        return;
                    }
                    path.RemoveRange(reader.Depth, path.Count - reader.Depth);
                    path.Add(reader.LocalName);
                    OnElement(reader, path, ref device);
                    break;
                case XmlNodeType.Text when Is(path, "domain", "name"):
                    Name ??= reader.Value.Length <= LongestName ? reader.Value : null;
                    break;
                case XmlNodeType.EndElement:
                    if (reader.Depth == 2 && reader.LocalName == "memory" && Is(path[..2], "domain", "devices") && MemoryDevices.Count < MostDevices)
                        AddDevice(device, ref dimms, ref virtio);
                    path.RemoveRange(reader.Depth, path.Count - reader.Depth);
                    break;
            }
        }
    }

    private void OnElement(XmlReader reader, List<string> path, ref MemoryDevice device)
    {
        if (Is(path, "domain", "os", "type"))
            Machine ??= reader.GetAttribute("machine");
        else if (Is(path, "domain", "devices", "memory"))
            device = new MemoryDevice { Model = reader.GetAttribute("model") };
        else if (Is(path, "domain", "devices", "memory", "address") && reader.GetAttribute("type") == "dimm")
        {
            device.Slot = Number(reader.GetAttribute("slot"));
            device.Base ??= Number(reader.GetAttribute("base"));
        }
        else if (Is(path, "domain", "devices", "memory", "target", "address"))
            device.Base ??= Number(reader.GetAttribute("base"));
    }

    /// <summary>
    /// A save file's XML has no aliases, but libvirt makes them by rule: a DIMM's from its slot, the others' in the order of the devices; QEMU's memory backend is "mem" and the
    /// alias (libvirt, src/qemu/qemu_alias.c, seen with 9.0 and 11.3).
    /// </summary>
    private void AddDevice(in MemoryDevice device, ref int dimms, ref int virtio)
    {
        var block = device.Model switch
        {
            "dimm" => $"memdimm{device.Slot ?? (ulong)dimms++}",
            "nvdimm" => $"memnvdimm{device.Slot ?? (ulong)dimms++}",
            "virtio-mem" => $"memvirtiomem{virtio++}",
            _ => null,
        };
        if (block is not null)
            MemoryDevices.Add(new LibvirtMemoryDevice(block, device.Base));
    }

    private static bool Is(List<string> path, params ReadOnlySpan<string> names)
    {
        if (path.Count != names.Length)
            return false;
        for (var i = 0; i < names.Length; i++)
        {
            if (path[i] != names[i])
                return false;
        }
        return true;
    }

    /// <summary>Decimal, or hexadecimal behind 0x.</summary>
    private static ulong? Number(string? text)
    {
        if (text is null)
            return null;
        var isHex = text.StartsWith("0x", StringComparison.Ordinal);
        return ulong.TryParse(
            text.AsSpan(isHex ? 2 : 0), isHex ? NumberStyles.AllowHexSpecifier : NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;
    }

    private struct MemoryDevice
    {
        public string? Model;
        public ulong? Slot;
        public ulong? Base;
    }
}
