namespace Forengate.Dumps;

/// <summary>What kind of dump is written.</summary>
public enum DumpKind
{
    /// <summary>A complete dump (DumpType 1): every page of every run. What the view has no bytes for is zeros, which no reader can tell from a guest's own.</summary>
    Full,

    /// <summary>A bitmap dump of the full address space (DumpType 5): the pages that the view has; a debugger says of the others that it cannot read them.</summary>
    Bitmap,

    /// <summary>A bitmap dump of active memory (DumpType 5 with its attribute): without the pages that Windows' own page frame database has as zeroed, free or standby.</summary>
    Active,

    /// <summary>A kernel dump (DumpType 6): the pages that the kernel's half of the page tables maps, and page tables. No user pages.</summary>
    Kernel,

    /// <summary>A small dump (DumpType 4): the processor that matters with its process, thread and stack, the drivers, KDBG, and pieces of kernel memory that a debugger asks for.</summary>
    Small,
}
