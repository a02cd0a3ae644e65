namespace Forengate.Memory;

/// <summary>A memory device as a domain's XML describes it, under the name that libvirt gives its RAM block.</summary>
/// <param name="Block">"memdimm0", "memvirtiomem0".</param>
/// <param name="Base">Guest-physical address; null where the XML does not say.</param>
internal readonly record struct LibvirtMemoryDevice(string Block, ulong? Base);
