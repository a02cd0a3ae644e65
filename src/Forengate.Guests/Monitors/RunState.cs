namespace Forengate.Guests;

/// <summary>QEMU's run state.</summary>
/// <param name="Running">True while the vCPUs execute.</param>
/// <param name="Status">QEMU's word for it ("running", "paused", "io-error", "inmigrate" …).</param>
public sealed record RunState(bool Running, string Status)
{
    /// <summary>What it was doing is lost: it waits for a reset, or for its end.</summary>
    public bool HasCrashed => Status is "guest-panicked" or "internal-error";
}
