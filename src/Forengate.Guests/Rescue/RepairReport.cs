namespace Forengate.Guests;

/// <summary>What a repair found and did.</summary>
/// <param name="Target">The guest.</param>
/// <param name="ProcessId">Its QEMU.</param>
public sealed record RepairReport(string Target, int ProcessId)
{
    /// <summary>What was wrong, a line each; empty for a sound guest.</summary>
    public IList<string> Found { get; } = [];

    /// <summary>What is as it should be, and good to know, a line each.</summary>
    public IList<string> Remarks { get; } = [];

    /// <summary>What was done about it, a line each.</summary>
    public IList<string> Done { get; } = [];

    /// <summary>True when something that was found is still so.</summary>
    public bool IsLeft { get; set; }

    /// <summary>True when something is at work on the guest, so that nothing was touched.</summary>
    public bool Busy { get; init; }
}
