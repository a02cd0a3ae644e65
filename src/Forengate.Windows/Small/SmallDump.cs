using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>What a small dump tells of the system that crashed. It has no physical memory, so that there is nothing to search: everything is what Windows itself picked.</summary>
public sealed record SmallDump
{
    /// <summary>Null where the header names another machine.</summary>
    public GuestArchitecture? Architecture { get; init; }

    /// <summary>Build number: 19041, …</summary>
    public required uint Build { get; init; }

    /// <summary>The stop code and its parameters; null where the header holds none.</summary>
    public BugCheckData? BugCheck { get; init; }

    /// <summary>Windows' number of the processor that crashed.</summary>
    public int? Processor { get; init; }

    /// <summary>Processors of the machine.</summary>
    public required uint ProcessorCount { get; init; }

    /// <summary>The registers at the crash; of an ARM64 system null.</summary>
    public CpuState? Cpu { get; init; }

    /// <summary>Where it stood, whatever the machine.</summary>
    public VirtualAddress? InstructionPointer { get; init; }

    public VirtualAddress? StackPointer { get; init; }

    /// <summary>Address of the ETHREAD that ran.</summary>
    public VirtualAddress? Thread { get; init; }

    /// <summary>Null where no layout of the build is known.</summary>
    public ulong? ThreadId { get; init; }

    /// <summary>The process it belongs to: the only one in the dump.</summary>
    public Process? Process { get; init; }

    public required IReadOnlyList<Driver> Drivers { get; init; }

    public required IReadOnlyList<TriageUnloadedDriver> UnloadedDrivers { get; init; }

    /// <summary>What is known and how, in the order in which a person asks.</summary>
    public required IReadOnlyList<Fact> Facts { get; init; }

    /// <summary>What stands in the way of knowing the process; empty where nothing does.</summary>
    public required IReadOnlyList<string> ProcessWarnings { get; init; }

    /// <summary>What is damaged or cut off, a line each.</summary>
    public required IReadOnlyList<string> Damage { get; init; }
}
