namespace Forengate.Memory;

/// <summary>A block of RAM as the hypervisor names it: <c>pc.ram</c>, a NUMA node's backend, a DIMM, video memory.</summary>
/// <param name="Name">The hypervisor's name.</param>
/// <param name="Length">In bytes.</param>
/// <param name="Ranges">Where it lies in guest-physical memory; empty for blocks that are no RAM of the guest's (firmware, video memory), or whose place is unknown.</param>
/// <param name="PlacedBy">How its place is known, or why it has none; for people.</param>
public sealed record RamBlock(string Name, ulong Length, IReadOnlyList<PhysicalRange> Ranges, string PlacedBy);
