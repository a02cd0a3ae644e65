namespace Forengate.Memory;

/// <summary>A part of a RAM block at its place in guest-physical memory.</summary>
/// <param name="Block">The block's name, or what stands behind its last slash: a device's backend is sent under the device's name.</param>
/// <param name="Offset">Of the part within the block, in bytes; whole pages.</param>
/// <param name="Range">Where it lies.</param>
public readonly record struct RamPart(string Block, ulong Offset, PhysicalRange Range);
