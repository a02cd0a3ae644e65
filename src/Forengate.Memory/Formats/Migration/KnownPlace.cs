namespace Forengate.Memory;

/// <summary>Where a block lies, as something outside the stream says: a domain's XML, the user.</summary>
/// <param name="Block">The block's name, or the end of it: libvirt names a DIMM <c>memdimm0</c> after its alias <c>dimm0</c>.</param>
/// <param name="Address">Guest-physical address of its first byte.</param>
/// <param name="Source">Who says so, for people: "domain XML".</param>
internal readonly record struct KnownPlace(string Block, PhysicalAddress Address, string Source);
