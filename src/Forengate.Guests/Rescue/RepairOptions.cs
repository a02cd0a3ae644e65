namespace Forengate.Guests;

/// <summary>What a repair may do.</summary>
public sealed record RepairOptions
{
    /// <summary>libvirt URI; null for <c>LIBVIRT_DEFAULT_URI</c>, else <c>qemu:///system</c>.</summary>
    public string? ConnectUri { get; init; }

    /// <summary>Say what is wrong and change nothing.</summary>
    public bool OnlyLook { get; init; }

    /// <summary>Continue a guest that stands still, too. Off by default: somebody may have paused it on purpose.</summary>
    public bool Resume { get; init; }
}
