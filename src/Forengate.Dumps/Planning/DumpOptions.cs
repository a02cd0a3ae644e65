namespace Forengate.Dumps;

/// <summary>What a user may choose about a dump.</summary>
public sealed record DumpOptions
{
    public static DumpOptions Default { get; } = new();

    public DumpKind Kind { get; init; }

    /// <summary>The header's comment, ASCII, cut at 127 characters. Null: made from the view's origin.</summary>
    public string? Comment { get; init; }

    /// <summary>File names or PIDs of processes whose own user pages are overwritten with a marker; only of kinds that have user pages.</summary>
    public IReadOnlyList<string> Exclude { get; init; } = [];

    /// <summary>The bugcheck that the guest told its hypervisor: it goes into the header before what memory says. Null: memory's word.</summary>
    public AnnouncedBugCheck? BugCheck { get; init; }
}
