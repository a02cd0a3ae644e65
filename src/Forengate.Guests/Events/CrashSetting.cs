using System.Xml;
using System.Xml.Linq;

namespace Forengate.Guests;

/// <summary>What a running domain's XML says about crashes (libvirt, docs/formatdomain: "Events configuration", "Panic device").</summary>
/// <param name="OnCrash">What libvirt does now.</param>
/// <param name="Noted">What it would do, had no guard set it otherwise; null where no guard has.</param>
/// <param name="Owner">The guard that noted it; null where none has, or an old one that did not say who it was.</param>
/// <param name="HasPanicDevice">The guest has something to tell of its crash with.</param>
/// <param name="HasAgent">There is a channel for a guest agent.</param>
internal sealed record CrashSetting(CrashAction OnCrash, CrashAction? Noted, HoldOwner? Owner, bool HasPanicDevice, bool HasAgent)
{
    public const string NoteUri = "https://forengate.dev/xmlns/guard/1";
    public const string NotePrefix = "forengate";
    public const string NoteElement = "guarded";
    private const string ActionAttribute = "on_crash";
    private const string AgentChannel = "org.qemu.guest_agent.0";

    private static readonly string[] s_names = ["destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart"];

    /// <summary>What the domain's owner wants.</summary>
    public CrashAction Wanted => OnCrash == CrashAction.Preserve ? Noted ?? CrashAction.Preserve : OnCrash;

    /// <summary>libvirt's word.</summary>
    public static string NameOf(CrashAction action) => s_names[(int)action];

    /// <exception cref="GuestException">That is no domain's XML.</exception>
    public static CrashSetting Read(string xml)
    {
        XElement domain;
        try
        {
            domain = XElement.Parse(xml);
        }
        catch (XmlException e)
        {
            throw new GuestException(GuestFailure.Libvirt, $"libvirt's description of a guest is no XML: {e.Message}", e);
        }
        var note = domain.Element("metadata")?.Element(XName.Get(NoteElement, NoteUri));
        var noted = Parse(note?.Attribute(ActionAttribute)?.Value);
        var devices = domain.Element("devices");
        return new CrashSetting(
            Parse(domain.Element("on_crash")?.Value) ?? CrashAction.Destroy, noted, noted is null ? null : HoldOwner.Read(note!), devices?.Element("panic") is not null,
            devices?.Elements("channel").Any(c => c.Element("target")?.Attribute("name")?.Value == AgentChannel) ?? false);
    }

    /// <summary>The note that a guard leaves in a domain's metadata; libvirt puts the namespace to it.</summary>
    public static string Note(CrashAction action, HoldOwner owner) =>
        new XElement(NoteElement, [new XAttribute(ActionAttribute, NameOf(action)), .. owner.Write()]).ToString(SaveOptions.DisableFormatting);

    private static CrashAction? Parse(string? text) => Array.IndexOf(s_names, text) is >= 0 and var at ? (CrashAction)at : null;
}
