using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>Bytes that the dump holds in place of the guest's own. They never cross a page.</summary>
/// <param name="Address">Guest-physical address.</param>
/// <param name="Bytes">What the dump holds there.</param>
/// <param name="Reason">For people: "KDBG, decoded".</param>
public sealed record DumpPatch(PhysicalAddress Address, ReadOnlyMemory<byte> Bytes, string Reason);
