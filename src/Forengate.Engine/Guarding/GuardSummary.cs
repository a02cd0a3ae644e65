namespace Forengate.Engine;

/// <summary>What a guard did in its life.</summary>
/// <param name="Dumped">Dumps written.</param>
/// <param name="Incomplete">Of these, dumps in which a debugger will miss something.</param>
/// <param name="Failed">What went wrong.</param>
/// <param name="Declined">Crashes without a dump, for want of room or of a guest.</param>
/// <param name="Suppressed">Crashes without a dump, because there were too many.</param>
public sealed record GuardSummary(int Dumped, int Incomplete, int Failed, int Declined, long Suppressed)
{
    /// <summary>True when the way to the guests was lost for good.</summary>
    public bool IsLost { get; init; }
}
