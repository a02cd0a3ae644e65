namespace Forengate.Lab.Image;

/// <summary>Addresses of what one processor owns: KPCR and KPRCB, descriptor tables, stacks.</summary>
internal sealed record ProcessorBlock
{
    public required int Number { get; init; }
    public required ulong Kpcr { get; init; }
    public required ulong Prcb { get; init; }
    /// <summary>The five pages that KVA shadow maps into user tables too: IDT, TSS, GDT, transition stacks.</summary>
    public required ulong ShadowBlock { get; init; }
    public required ulong Idt { get; init; }
    public required ulong Gdt { get; init; }
    public required ulong Tss { get; init; }
    /// <summary>Top of the small stack an entry from ring 3 begins on with KVA shadow.</summary>
    public required ulong TransitionStack { get; init; }
    public required IReadOnlyList<ulong> IstStacks { get; init; }
    public required ulong DpcStack { get; init; }
    public required ulong IsrStack { get; init; }
    /// <summary>Where KPRCB.Context leads: into the KPRCB's own ProcessorState, or elsewhere.</summary>
    public required ulong Context { get; init; }
    public required ulong ContextFrame { get; init; }
    public required ulong SpecialRegisters { get; init; }
}
