namespace Forengate.Memory;

/// <summary>Where a view came from.</summary>
public sealed record ViewOrigin
{
    /// <summary>What the user pointed at: a path, <c>libvirt:NAME</c>, <c>qmp:SOCKET</c>, <c>pid:N</c>.</summary>
    public required string Target { get; init; }

    /// <summary>Name of the image format, or "live guest".</summary>
    public required string Format { get; init; }

    /// <summary>The program that made the image, where the format tells.</summary>
    public string? Producer { get; init; }

    /// <summary>When the memory was taken, where known.</summary>
    public DateTimeOffset? TakenAt { get; init; }

    /// <summary>How long the guest stood still for it: null where unknown or where nothing was stopped by us.</summary>
    public TimeSpan? StoodStill { get; init; }

    /// <summary>What we made the hypervisor do, in order ("stop", "cont", …), for the record.</summary>
    public IReadOnlyList<string> Actions { get; init; } = [];

    /// <summary>Facts worth telling that are not errors: a truncated file, a tainted domain, a range left out.</summary>
    public IReadOnlyList<string> Remarks { get; init; } = [];
}
