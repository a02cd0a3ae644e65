using System.Diagnostics.CodeAnalysis;

namespace Forengate.Guests;

/// <summary>How a live guest is reached.</summary>
public enum GuestTargetKind
{
    /// <summary>A libvirt domain, by name or UUID.</summary>
    Libvirt,

    /// <summary>A QEMU monitor socket that speaks QMP.</summary>
    Qmp,
}

/// <summary>A live guest as the user points at it: <c>libvirt:NAME</c> (a name or a UUID) or <c>qmp:SOCKET</c> (the path of a unix socket).</summary>
/// <param name="Kind">Which way leads to it.</param>
/// <param name="Name">Domain name, UUID, or the socket's path. Never empty.</param>
public sealed record GuestTarget(GuestTargetKind Kind, string Name)
{
    private const string LibvirtPrefix = "libvirt:";
    private const string QmpPrefix = "qmp:";

    /// <summary>True when <paramref name="text"/> names a live guest; false for a file or anything else.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out GuestTarget? target)
    {
        ArgumentNullException.ThrowIfNull(text);
        target = null;
        if (text.StartsWith(LibvirtPrefix, StringComparison.Ordinal) && text.Length > LibvirtPrefix.Length)
            target = new GuestTarget(GuestTargetKind.Libvirt, text[LibvirtPrefix.Length..]);
        else if (text.StartsWith(QmpPrefix, StringComparison.Ordinal) && text.Length > QmpPrefix.Length)
            target = new GuestTarget(GuestTargetKind.Qmp, text[QmpPrefix.Length..]);
        return target is not null;
    }

    /// <exception cref="FormatException">The text names no live guest.</exception>
    public static GuestTarget Parse(string text) =>
        TryParse(text, out var target) ? target : throw new FormatException($"'{text}' is no live guest: write libvirt:NAME or qmp:SOCKET");

    public override string ToString() => (Kind == GuestTargetKind.Libvirt ? LibvirtPrefix : QmpPrefix) + Name;
}
