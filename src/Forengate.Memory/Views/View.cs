namespace Forengate.Memory;

/// <summary>
/// A target at one instant: its memory, its CPUs, and how consistent the two are. Everything to the right of this room works on views and cannot tell a file from a live guest.
/// </summary>
public sealed class View : IDisposable
{
    private readonly IDisposable? _hold;
    private Func<ViewOrigin>? _originAtEnd;

    /// <param name="memory">Owned: disposed with the view.</param>
    /// <param name="cpus">In the hypervisor's order; empty where the source has no registers.</param>
    /// <param name="consistency">How far memory and CPUs are of one instant.</param>
    /// <param name="origin">Where it all came from.</param>
    /// <param name="hold">Whatever must end with the view, after the memory: a stopped guest that must run again, say.</param>
    /// <param name="originAtEnd">Called after <paramref name="hold"/> was disposed, for what only then is known (how long the guest stood still).</param>
    public View(
        PhysicalMemory memory, IReadOnlyList<CpuState> cpus, Consistency consistency, ViewOrigin origin,
        IDisposable? hold = null, Func<ViewOrigin>? originAtEnd = null)
    {
        Memory = memory;
        Cpus = cpus;
        Consistency = consistency;
        Origin = origin;
        _hold = hold;
        _originAtEnd = originAtEnd;
    }

    public PhysicalMemory Memory { get; }

    /// <summary>Registers of every CPU, in the hypervisor's order. Which Windows processor a CPU is, is Windows' to say, not the index's.</summary>
    public IReadOnlyList<CpuState> Cpus { get; }

    public Consistency Consistency { get; }

    public ViewOrigin Origin { get; private set; }

    public void Dispose()
    {
        Memory.Dispose();
        _hold?.Dispose();
        if (_originAtEnd is { } originAtEnd)
        {
            _originAtEnd = null;
            Origin = originAtEnd();
        }
    }
}
