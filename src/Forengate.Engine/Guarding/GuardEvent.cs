using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>What a line of a guard's journal tells.</summary>
public enum GuardEventKind
{
    /// <summary>The guard has begun.</summary>
    Guarding,

    /// <summary>What will happen when this guest crashes, and what it lacks.</summary>
    Ready,

    /// <summary>Something was heard of a guest that no dump is made for.</summary>
    Heard,

    /// <summary>A dump was written.</summary>
    Dumped,

    /// <summary>One crash too many in a stretch of time: no dump was made.</summary>
    Suppressed,

    /// <summary>No dump was made, with the reason: no room, the guest was gone.</summary>
    Declined,

    /// <summary>A dump could not be made, or something else went wrong.</summary>
    Failed,

    /// <summary>The action that a crash without a dump asked for was done.</summary>
    Acted,

    /// <summary>An old dump was deleted.</summary>
    Removed,

    /// <summary>The command that follows a dump ended.</summary>
    Ran,

    /// <summary>The guard ends.</summary>
    Ended,
}

/// <summary>A line of a guard's journal. Fields that do not belong to its kind are null.</summary>
public sealed record GuardEvent
{
    public required GuardEventKind Kind { get; init; }

    /// <summary>When the line was made; UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>One line for people.</summary>
    public required string Text { get; init; }

    /// <summary>The guest as a target: "libvirt:win10"; null where all are meant.</summary>
    public string? Guest { get; init; }

    /// <summary>"panic", "watchdog", "silence".</summary>
    public string? Why { get; init; }

    /// <summary>When the guest told of it, where that is another time; UTC.</summary>
    public DateTimeOffset? HeardAt { get; init; }

    /// <summary>The dump.</summary>
    public string? File { get; init; }

    /// <summary>Its length in bytes.</summary>
    public ulong? Bytes { get; init; }

    /// <summary>"full", "kernel", …</summary>
    public string? Type { get; init; }

    /// <summary>How long a guest that ran was stopped for the dump; null for one that stood still already.</summary>
    public TimeSpan? StoodStill { get; init; }

    /// <summary>From the time a crashed guest was heard of until its crash action was done.</summary>
    public TimeSpan? Held { get; init; }

    /// <summary>The bugcheck in the dump's header, and who told of it.</summary>
    public BugcheckReport? Bugcheck { get; init; }

    /// <summary>Of the whole dump, in hexadecimal.</summary>
    public string? Sha256 { get; init; }

    /// <summary>What was done to the crashed guest afterwards.</summary>
    public string? Action { get; init; }

    /// <summary>False when a debugger will miss something in the dump; <see cref="Lines"/> says what.</summary>
    public bool? Complete { get; init; }

    /// <summary>Dumps that were not made since the last one because there were too many.</summary>
    public long? Suppressed { get; init; }

    /// <summary>Of the command that was run; null when it was ended, or never ran.</summary>
    public int? ExitCode { get; init; }

    /// <summary>How long it took.</summary>
    public TimeSpan? Took { get; init; }

    /// <summary>What else is worth telling: gaps, disagreements, what a guest's XML lacks.</summary>
    public IReadOnlyList<string> Lines { get; init; } = [];
}
