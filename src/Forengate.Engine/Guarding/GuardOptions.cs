using Forengate.Dumps;

namespace Forengate.Engine;

/// <summary>A guest to guard whose QEMU has no libvirt.</summary>
/// <param name="Socket">Its QMP socket, which belongs to the guard as long as it lives.</param>
/// <param name="AgentSocket">The socket of its agent channel; null: no agent is asked.</param>
public sealed record GuardedMonitor(string Socket, string? AgentSocket = null);

/// <summary>What a guard guards, what it writes, and how much of it.</summary>
public sealed record GuardOptions
{
    /// <summary>Free space that is left without being asked: a host's own disk must not fill up.</summary>
    public const ulong DefaultReserve = 1UL << 30;

    /// <summary>Names or UUIDs of libvirt's guests; empty: all, those that come later too, unless there are <see cref="Monitors"/> only.</summary>
    public IReadOnlyList<string> Guests { get; init; } = [];

    /// <summary>Guests by their QMP sockets.</summary>
    public IReadOnlyList<GuardedMonitor> Monitors { get; init; } = [];

    /// <summary>The folder for the dumps; it must exist.</summary>
    public required string Folder { get; init; }

    /// <summary>The kind to write; smaller ones where there is no room for it.</summary>
    public DumpKind Kind { get; init; } = DumpKind.Full;

    public GuardTriggers Triggers { get; init; } = GuardTriggers.All;

    /// <summary>How long a guest's agent must not answer until the guest counts as hung. 10 s to 1 h.</summary>
    public TimeSpan SilentFor { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>At most so many dumps of a guest are kept; null: all.</summary>
    public int? Keep { get; init; }

    /// <summary>At most so many bytes of dumps of a guest are kept; null: all.</summary>
    public ulong? KeepBytes { get; init; }

    /// <summary>At most so many dumps of a guest in a stretch of time; null: no limit.</summary>
    public DumpRate? AtMost { get; init; } = new(3, TimeSpan.FromHours(1));

    /// <summary>Bytes of the folder's disk that must stay free.</summary>
    public ulong Reserve { get; init; } = DefaultReserve;

    /// <summary>What is run after each dump; null: nothing.</summary>
    public FollowUp? Run { get; init; }

    /// <summary>Ends after the first dump: made, failed, or declined for want of room.</summary>
    public bool Once { get; init; }

    /// <summary>How many guests are dumped at a time, 1 or more.</summary>
    public int Parallel { get; init; } = 2;

    /// <summary>How guests are reached and where symbols come from.</summary>
    public TargetOptions Target { get; init; } = new();
}
