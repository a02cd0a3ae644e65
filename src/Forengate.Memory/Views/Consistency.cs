namespace Forengate.Memory;

/// <summary>How well memory and CPUs of a view belong to one instant.</summary>
public enum ConsistencyLevel
{
    /// <summary>The source does not say (a raw file, say).</summary>
    Unknown,

    /// <summary>All memory and all registers are of one instant.</summary>
    Instant,

    /// <summary>Memory is of one instant; registers are of another, or there are none.</summary>
    MemoryOnly,

    /// <summary>The guest ran while it was read: lists may never have existed as seen.</summary>
    Smeared,
}

/// <summary>How consistent a view is with one instant, and why we say so.</summary>
/// <param name="Level">The verdict.</param>
/// <param name="Reason">One phrase for people: "guest stopped while memory was copied".</param>
public sealed record Consistency(ConsistencyLevel Level, string Reason);
