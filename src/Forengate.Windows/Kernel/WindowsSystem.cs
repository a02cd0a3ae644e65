using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// The Windows kernel found in a view: where it is, which build, and what its central structures say. Immutable after <see cref="Find(View, ProfileStore, CancellationToken)"/>;
/// valid as long as the view is.
/// </summary>
public sealed class WindowsSystem
{
    internal WindowsSystem(KernelLayouts layouts, WindowsLimits limits)
    {
        Layouts = layouts;
        Limits = limits;
    }

    public required View View { get; init; }

    /// <summary>The kernel's address space, by the System process's own page table; pages in transition are readable.</summary>
    public required AddressSpace Kernel { get; init; }

    /// <summary>Guest-physical address of System's top page table, PCID and flags masked.</summary>
    public ulong SystemDirectoryTableBase => Kernel.DirectoryTableBase.Value;

    /// <summary>Paging levels: 4, or 5 with CR4.LA57.</summary>
    public int Levels => Kernel.Levels;

    public required KernelImage Image { get; init; }

    public required KernelProfile Profile { get; init; }

    public required KernelVersion Version { get; init; }

    /// <summary>The debugger's data block, decoded; null where it could not be (the facts say what was tried).</summary>
    public required DebuggerData? Kdbg { get; init; }

    /// <summary>In the order of Windows' processor numbers.</summary>
    public required IReadOnlyList<Processor> Processors { get; init; }

    /// <summary>CPUs of the view that are no processor's.</summary>
    public required IReadOnlyList<CpuState> UnmatchedCpus { get; init; }

    /// <summary>Of them, those that are proved to stand outside of Windows (virtualization-based security), by <see cref="CpuState.Index"/>.</summary>
    public required IReadOnlySet<int> OutsideCpus { get; init; }

    public required SharedUserData? SharedData { get; init; }

    /// <summary>The runs of <c>MmPhysicalMemoryBlock</c>: memory as Windows was given it at boot.</summary>
    public required IReadOnlyList<PhysicalRange>? PhysicalMemoryBlock { get; init; }

    /// <summary>Null while the system has not crashed.</summary>
    public required BugCheckData? BugCheck { get; init; }

    /// <summary>EPROCESS of the System process; null where it is not in memory.</summary>
    public required VirtualAddress? SystemProcess { get; init; }

    /// <summary>What was found and how, in reading order; what was not found, with what was tried.</summary>
    public required IReadOnlyList<Fact> KernelFacts { get; init; }

    /// <summary>The profile held against this memory.</summary>
    public ProfileProof Proof { get; internal set; } = new([]);

    internal KernelLayouts Layouts { get; }

    internal WindowsLimits Limits { get; }

    /// <summary>Looks for the kernel: by the CPUs' registers, by the start-up code below 640 KiB, by one pass over memory.</summary>
    /// <param name="view">The view; it must outlive the system found.</param>
    /// <param name="profiles">Layouts of known kernels.</param>
    /// <param name="ct">Ends the search by an <see cref="OperationCanceledException"/>.</param>
    public static WindowsSearch Find(View view, ProfileStore profiles, CancellationToken ct = default) => Find(view, profiles, WindowsLimits.Default, ct);

    /// <inheritdoc cref="Find(View, ProfileStore, CancellationToken)"/>
    /// <param name="view">The view; it must outlive the system found.</param>
    /// <param name="profiles">Layouts of known kernels.</param>
    /// <param name="limits">Bounds for everything guest memory could make endless.</param>
    /// <param name="ct">Ends the search by an <see cref="OperationCanceledException"/>.</param>
    public static WindowsSearch Find(View view, ProfileStore profiles, WindowsLimits limits, CancellationToken ct = default) =>
        new KernelSearch(view, profiles, limits, ct).Run();

    /// <summary>Address of <c>PsLoadedModuleList</c>; null where the profile does not know it.</summary>
    public VirtualAddress? ModuleListHead => AddressOf(KernelGlobal.PsLoadedModuleList);

    /// <summary>Address of <c>PsActiveProcessHead</c>; null where the profile does not know it.</summary>
    public VirtualAddress? ProcessListHead => AddressOf(KernelGlobal.PsActiveProcessHead);

    /// <summary>Where a global lies; null where the profile does not know it.</summary>
    public VirtualAddress? AddressOf(KernelGlobal global) => KernelLayouts.AddressOf(Profile, Image.Base, global);

    /// <summary>Reads a global's value; false where the profile does not know it or the memory is missing.</summary>
    public bool TryReadGlobal<T>(KernelGlobal global, out T value)
        where T : unmanaged
    {
        value = default;
        return AddressOf(global) is { } address && Kernel.TryRead(address, out value);
    }
}
