using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>Everything about a system that its dump is made from: gathered once, so that a plan depends on nothing else.</summary>
internal sealed record DumpFacts
{
    public required View View { get; init; }

    /// <summary>The System process's address space.</summary>
    public required AddressSpace Kernel { get; init; }

    public required KernelVersion Version { get; init; }

    public DebuggerBlock? Kdbg { get; init; }

    public VirtualAddress? PsLoadedModuleList { get; init; }

    public VirtualAddress? PsActiveProcessHead { get; init; }

    /// <summary>Windows' own number of processors, by Windows' number.</summary>
    public required IReadOnlyList<Processor> Processors { get; init; }

    public SharedUserData? Shared { get; init; }

    public BugCheckData? BugCheck { get; init; }

    public IReadOnlyList<PhysicalRange>? MemoryBlock { get; init; }

    /// <summary>Windows' record of its pages, with why there is none; asked only where a dump needs it.</summary>
    public Func<(PageFrameDatabase? Database, string? Why)> PageFrames { get; init; } = static () => (null, "the page frame database was not looked for");

    public static DumpFacts Of(WindowsSystem system) => new()
    {
        View = system.View,
        Kernel = system.Kernel,
        Version = system.Version,
        Kdbg = DebuggerBlock.Of(system.Kdbg),
        PsLoadedModuleList = system.ModuleListHead,
        PsActiveProcessHead = system.ProcessListHead,
        Processors = system.Processors,
        Shared = system.SharedData,
        BugCheck = system.BugCheck,
        MemoryBlock = system.PhysicalMemoryBlock,
        PageFrames = () => (PageFrameDatabase.Of(system, out var why), why),
    };
}
