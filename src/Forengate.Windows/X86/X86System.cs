using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>A 32-bit Windows kernel found in a view: where it is, which build, and what its central structures say. Addresses are zero-extended. Valid as long as the view is.</summary>
public sealed class X86System
{
    internal X86System(X86Layout layout, WindowsLimits limits)
    {
        Layout = layout;
        Limits = limits;
    }

    public required View View { get; init; }

    /// <summary>The kernel's address space, by the System process's own page table.</summary>
    public required AddressSpace Kernel { get; init; }

    /// <summary>Physical address extension: page tables of three levels, else two.</summary>
    public bool IsPae => Kernel.Levels == X86Pointers.PaeLevels;

    public required KernelImage Image { get; init; }

    public required KernelVersion Version { get; init; }

    /// <summary>The kernel file's version whose layout was proved on this memory.</summary>
    public string LayoutVersion => Layout.Version;

    /// <summary>The debugger's data block; null where it was not found.</summary>
    public required X86DebuggerData? Kdbg { get; init; }

    public required SharedUserData? SharedData { get; init; }

    /// <summary><c>PsActiveProcessHead</c>.</summary>
    public required VirtualAddress ProcessListHead { get; init; }

    /// <summary><c>PsLoadedModuleList</c>; null where neither an export nor KDBG tells.</summary>
    public required VirtualAddress? ModuleListHead { get; init; }

    /// <summary>EPROCESS of the System process.</summary>
    public required VirtualAddress SystemProcess { get; init; }

    /// <summary>In the order of Windows' processor numbers; empty where KDBG does not lead to them.</summary>
    public required IReadOnlyList<X86Processor> Processors { get; init; }

    /// <summary>The runs of <c>MmPhysicalMemoryBlock</c>; null where KDBG does not lead to it.</summary>
    public required IReadOnlyList<PhysicalRange>? PhysicalMemoryBlock { get; init; }

    /// <summary>Null while the system has not crashed, or where KDBG does not lead to it.</summary>
    public required BugCheckData? BugCheck { get; init; }

    /// <summary>What was found and how, in reading order.</summary>
    public required IReadOnlyList<Fact> KernelFacts { get; init; }

    internal X86Layout Layout { get; }

    internal WindowsLimits Limits { get; }
}
