using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>A copy of what a guest has, with the memory beside it that a virtio-mem device could give and has not given.</summary>
internal sealed class UnpluggedMemory : PhysicalMemory
{
    private readonly PhysicalMemory _below;
    private readonly GuestMemoryMap _map;

    private UnpluggedMemory(PhysicalMemory below, GuestMemoryMap map) => (_below, _map) = (below, map);

    /// <param name="below">Owned.</param>
    /// <param name="map">Of the instant of the copy.</param>
    public static PhysicalMemory Over(PhysicalMemory below, GuestMemoryMap map) => map.Devices.Count == 0 ? below : new UnpluggedMemory(below, map);

    public override IReadOnlyList<PhysicalRange> Ranges => _map.AllRanges;

    public override PageState StateOf(PhysicalAddress address) => _map.IsUnplugged(address) ? PageState.Ballooned : _below.StateOf(address);

    public override int Read(PhysicalAddress address, Span<byte> destination) => _below.Read(address, destination);

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) => _below.Map(address, maxLength);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _below.Dispose();
        base.Dispose(disposing);
    }
}
