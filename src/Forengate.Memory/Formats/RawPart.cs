namespace Forengate.Memory;

/// <summary>One contiguous part of a raw image.</summary>
/// <param name="Range">Where it lies in guest-physical memory, on page boundaries.</param>
/// <param name="FileOffset">Where it lies in the file, in bytes.</param>
public readonly record struct RawPart(PhysicalRange Range, ulong FileOffset);
