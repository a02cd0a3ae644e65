namespace Forengate.Memory;

/// <summary>A segment register with its hidden part. Base, limit or attributes may be unknown where only the selector was saved.</summary>
/// <param name="Selector">The visible selector.</param>
/// <param name="Base">Segment base; for FS and GS the MSR's value.</param>
/// <param name="Limit">Limit in bytes.</param>
/// <param name="Attributes">The second descriptor dword's attribute bits as QEMU keeps them (bits 8 to 23), see Intel SDM vol. 3, 3.4.5.</param>
public readonly record struct SegmentRegister(ushort Selector, ulong? Base = null, uint? Limit = null, uint? Attributes = null);

/// <summary>GDTR or IDTR.</summary>
public readonly record struct DescriptorTableRegister(ulong Base, uint Limit);
