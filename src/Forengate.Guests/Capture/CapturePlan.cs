namespace Forengate.Guests;

/// <summary>How a view of a guest would be taken, and why.</summary>
/// <param name="Target">The guest.</param>
/// <param name="Mode">What would be done; null when none of what is allowed can be.</param>
/// <param name="Reason">Why this way: one line.</param>
/// <param name="Ways">All ways there are, best first.</param>
/// <param name="Facts">What was learned of the guest and its host, a line each.</param>
public sealed record CapturePlan(string Target, CaptureMode? Mode, string Reason, IReadOnlyList<PlannedWay> Ways, IReadOnlyList<string> Facts);

/// <summary>One way to take a view, as it looks for one guest.</summary>
/// <param name="Mode">Which.</param>
/// <param name="Obstacle">What speaks against it, with what would allow it; null when nothing does.</param>
/// <param name="Failure">The kind of obstacle.</param>
/// <param name="Pause">How long the guest is expected to stand still; null where it does as long as it is looked at, or where that must not be tried.</param>
/// <param name="HostMemory">Bytes of free host memory it needs, or of host memory and disk.</param>
public sealed record PlannedWay(CaptureMode Mode, string? Obstacle, GuestFailure? Failure, TimeSpan? Pause, ulong HostMemory)
{
    /// <summary>Bytes of the copy that the host has no memory for, and that go to <see cref="SpillFolder"/>; 0 for none.</summary>
    public ulong Spilled => Room?.Spilled ?? 0;

    /// <summary>Folder of the file they go to; null for none.</summary>
    public string? SpillFolder => Room?.Folder;

    /// <summary>Bytes a second that the folder's disk takes, as tried; 0 where none is needed.</summary>
    public double SpillSpeed => Room?.BytesPerSecond ?? 0;

    /// <summary>Bytes of the guest in the host's swap, which are read before it is stopped.</summary>
    internal ulong Swapped { get; init; }

    /// <summary>Where the copy goes; null where it can't be taken, or none is.</summary>
    internal CopyRoom? Room { get; init; }

    /// <summary>The way in words that <c>--consistency</c> takes, or <c>--means</c>.</summary>
    public string Name => Mode switch
    {
        CaptureMode.LibvirtDump => "libvirt",
        CaptureMode.LibvirtPeek => "peek",
        CaptureMode.Snapshot => "snapshot",
        CaptureMode.Live => "live",
        _ => "stop",
    };
}
