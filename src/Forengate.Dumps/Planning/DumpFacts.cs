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

    /// <summary>vCPUs that stand outside of Windows, by their index.</summary>
    public IReadOnlySet<int> OutsideCpus { get; init; } = new HashSet<int>();

    public SharedUserData? Shared { get; init; }

    public BugCheckData? BugCheck { get; init; }

    /// <summary>Who says so.</summary>
    public string BugCheckSource { get; init; } = "KiBugCheckData";

    public IReadOnlyList<PhysicalRange>? MemoryBlock { get; init; }

    /// <summary>Windows' record of its pages, with why there is none; asked only where a dump needs it.</summary>
    public Func<CancellationToken, (PageFrameDatabase? Database, string? Why)> PageFrames { get; init; } = static _ => (null, "the page frame database was not looked for");

    /// <summary>Top page tables of the processes that Windows lists, of both modes, PCID masked; asked only where a dump needs them.</summary>
    public Func<CancellationToken, IReadOnlyList<ProcessTables>> Processes { get; init; } = static _ => [];

    /// <summary>The drivers that Windows lists, in its order; asked only where a dump needs them.</summary>
    public Func<CancellationToken, IReadOnlyList<Driver>> Drivers { get; init; } = static _ => [];

    public static DumpFacts Of(WindowsSystem system) => new()
    {
        View = system.View,
        Kernel = system.Kernel,
        Version = system.Version,
        Kdbg = DebuggerBlock.Of(system.Kdbg),
        PsLoadedModuleList = system.ModuleListHead,
        PsActiveProcessHead = system.ProcessListHead,
        Processors = system.Processors,
        OutsideCpus = system.OutsideCpus,
        Shared = system.SharedData,
        BugCheck = system.BugCheck,
        MemoryBlock = system.PhysicalMemoryBlock,
        Drivers = ct => DriverList.Walk(system, ct).Items,
        Processes = ct => [.. ProcessList.Walk(system, ct).Items.Select(ProcessTables.Of)],
        PageFrames = ct => (PageFrameDatabase.Of(system, out var why, ct), why),
    };
}

/// <summary>A process as far as its pages go.</summary>
/// <param name="Id">PID.</param>
/// <param name="Name">File name of its image.</param>
/// <param name="Roots">Its top page tables, PCID masked: one, with KVA shadow two.</param>
internal sealed record ProcessTables(ulong Id, string Name, IReadOnlyList<ulong> Roots)
{
    public static ProcessTables Of(Process process) =>
        new(process.Id, process.Name, process.UserDirectoryTableBase is { } user && user != process.DirectoryTableBase ? [process.DirectoryTableBase, user] : [process.DirectoryTableBase]);
}
