using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>One logical processor as Windows numbers it, and the vCPU of the view that it is.</summary>
public sealed record Processor
{
    /// <summary>Windows' number: the index in <c>KiProcessorBlock</c>.</summary>
    public required int Number { get; init; }

    public required VirtualAddress Kpcr { get; init; }

    public required VirtualAddress Kprcb { get; init; }

    /// <summary>Where the pointer at KPRCB+OffsetPrcbContext leads: the CONTEXT a debugger reads. Null where there is no such pointer.</summary>
    public VirtualAddress? Context { get; init; }

    /// <summary><c>KPRCB.ProcessorState.ContextFrame</c>.</summary>
    public VirtualAddress? ContextFrame { get; init; }

    /// <summary><c>KPRCB.ProcessorState.SpecialRegisters</c>.</summary>
    public VirtualAddress? SpecialRegisters { get; init; }

    /// <summary>
    /// The registers of the vCPU whose GS base (either one) is this processor's KPCR; of a source without CPU records that keeps registers in memory (a crash dump), those.
    /// Null where there are none.
    /// </summary>
    public CpuState? Cpu { get; init; }

    /// <summary>True where <see cref="Cpu"/> was read from <see cref="Context"/> and <see cref="SpecialRegisters"/>: memory holds it all already.</summary>
    public bool RegistersAreInMemory { get; init; }

    /// <summary>How <see cref="Cpu"/> was matched, or why none was.</summary>
    public required string MatchedBy { get; init; }

    /// <summary>The KTHREAD running here.</summary>
    public VirtualAddress? CurrentThread { get; init; }

    /// <summary>The EPROCESS whose address space that thread runs in.</summary>
    public VirtualAddress? CurrentProcess { get; init; }

    public ulong? CurrentProcessId { get; init; }

    public string? CurrentProcessName { get; init; }
}
