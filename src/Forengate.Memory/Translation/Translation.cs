namespace Forengate.Memory;

/// <summary>The outcome of one page walk.</summary>
/// <param name="Fault">None when <paramref name="Address"/> is good.</param>
/// <param name="Address">The guest-physical address.</param>
/// <param name="PageSize">4 KiB, 2 MiB (4 MiB with 32-bit paging) or 1 GiB: the page the address lies in; how much a fault leaves unmapped where there is one.</param>
/// <param name="Level">Level of the entry that ended the walk: 1 = PTE, 2 = PDE, 3 = PDPTE, 4 = PML4E, 5 = PML5E.</param>
/// <param name="Entry">The raw entry that ended the walk.</param>
/// <param name="User">True when every level allows user-mode access.</param>
/// <param name="Writable">True when every level allows writing.</param>
/// <param name="NoExecute">True when any level forbids execution.</param>
public readonly record struct Translation(
    TranslationFault Fault, PhysicalAddress Address, ulong PageSize, int Level, ulong Entry, bool User, bool Writable, bool NoExecute)
{
    public bool Ok => Fault == TranslationFault.None;
}
