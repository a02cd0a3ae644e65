using System.Globalization;
using System.Xml;
using System.Xml.Linq;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>What a guest has to tell of crashes and hangs with, and what its hypervisor does about them.</summary>
internal sealed record CrashSettings
{
    /// <summary>The port name by which QEMU's guest agent and libvirt find each other.</summary>
    private const string AgentPort = "org.qemu.guest_agent.0";

    /// <summary>Models of its panic devices: "isa", "pvpanic", "hyperv".</summary>
    public IReadOnlyList<string> PanicDevices { get; init; } = [];

    /// <summary>"destroy", "restart", "preserve", "coredump-destroy" …; for a QEMU without libvirt its own panic action; null where it can't be told.</summary>
    public string? OnCrash { get; init; }

    /// <summary>Model and action of each watchdog device; the action is null where it can't be told.</summary>
    public IReadOnlyList<(string Model, string? Action)> Watchdogs { get; init; } = [];

    public bool HasAgentChannel { get; init; }

    /// <summary>True under KVM, which knows Hyper-V's crash registers; null where it can't be told.</summary>
    public bool? IsKvm { get; init; }

    /// <summary>Most memory it may have, in bytes; null where it can't be told.</summary>
    public ulong? Memory { get; init; }

    /// <summary>True for a guest of libvirt's, whose lacks can be mended in its XML.</summary>
    public bool IsLibvirt { get; init; } = true;

    /// <exception cref="XmlException">It is no XML.</exception>
    public static CrashSettings Read(GuestXml xml)
    {
        var domain = Parse(xml.Text);
        var devices = domain.Element("devices");
        return new CrashSettings
        {
            PanicDevices = [.. Devices(devices, "panic").Select(panic => (string?)panic.Attribute("model") ?? "isa")],
            OnCrash = xml.OnCrash,
            Watchdogs = [.. Devices(devices, "watchdog").Select(dog => ((string?)dog.Attribute("model") ?? "watchdog", (string?)((string?)dog.Attribute("action") ?? "reset")))],
            HasAgentChannel = Devices(devices, "channel").Any(channel => (string?)channel.Element("target")?.Attribute("name") == AgentPort),
            IsKvm = (string?)domain.Attribute("type") == "kvm",
            Memory = Bytes(domain.Element("maxMemory")) ?? Bytes(domain.Element("memory")),
        };
    }

    private static IEnumerable<XElement> Devices(XElement? devices, string name) => devices?.Elements(name) ?? [];

    /// <summary>libvirt itself always writes KiB.</summary>
    private static ulong? Bytes(XElement? element) => ulong.TryParse((string?)element, NumberStyles.None, CultureInfo.InvariantCulture, out var count)
        ? (string?)element!.Attribute("unit") is null or "KiB" ? count << 10 : null
        : null;

    private static XElement Parse(string text)
    {
        using var reader = XmlReader.Create(new StringReader(text), new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null });
        return XElement.Load(reader);
    }
}
