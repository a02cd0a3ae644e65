namespace Forengate.Memory;

/// <summary>One present page of an address space.</summary>
/// <param name="Address">Virtual address of its first byte.</param>
/// <param name="Physical">Guest-physical address of its first byte; need not lie in memory that the view holds.</param>
/// <param name="Size">4 KiB, 2 MiB (4 MiB with 32-bit paging) or 1 GiB.</param>
/// <param name="Entry">The raw entry that maps it.</param>
/// <param name="User">True when every level allows user-mode access.</param>
/// <param name="Writable">True when every level allows writing.</param>
/// <param name="NoExecute">True when any level forbids execution.</param>
public readonly record struct PageMapping(VirtualAddress Address, PhysicalAddress Physical, ulong Size, ulong Entry, bool User, bool Writable, bool NoExecute);
