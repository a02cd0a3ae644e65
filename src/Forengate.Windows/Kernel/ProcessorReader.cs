using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Reads the processors from <c>KiProcessorBlock</c> and finds each one's vCPU.</summary>
/// <remarks>Only vCPUs that stand in this Windows count: <see cref="ForeignCpu"/> tells the others.</remarks>
internal static class ProcessorReader
{
    /// <summary>The largest KSPECIAL_REGISTERS believed, in bytes: the distance to the context frame behind it.</summary>
    private const int MaxSpecialRegisters = 0x200;

    public static List<Processor> Read(
        AddressSpace kernel, VirtualAddress block, ProcessorLayout layout, ThreadLayout threads, ProcessLayout processes,
        int? offsetPrcbContext, View view, IReadOnlyList<CpuState> cpus, WindowsLimits limits, WarningList warnings)
    {
        var found = new List<Processor>();
        var pointers = new byte[limits.Processors * sizeof(ulong)];
        var count = kernel.Read(block, pointers) / sizeof(ulong);
        for (var number = 0; number < count; number++)
        {
            var prcb = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(pointers.AsSpan(number * sizeof(ulong))));
            if (prcb.IsNull)
                break;

            // The array's true length is not known: what follows it is told from a KPRCB by the number a KPRCB carries.
            if (!KernelPointers.IsObject(prcb, kernel.Levels) || !kernel.TryRead(prcb + (ulong)layout.Number, out uint own) || own != (uint)number)
            {
                if (number == 0)
                    warnings.Add($"KiProcessorBlock[0] is {prcb}, where no KPRCB of processor 0 lies");
                break;
            }
            found.Add(Describe(kernel, number, prcb, layout, threads, processes, offsetPrcbContext, view, cpus));
        }
        return found;
    }

    private static Processor Describe(
        AddressSpace kernel, int number, VirtualAddress prcb, ProcessorLayout layout, ThreadLayout threads, ProcessLayout processes,
        int? offsetPrcbContext, View view, IReadOnlyList<CpuState> cpus)
    {
        var kpcr = prcb - (ulong)layout.PcrPrcb;
        var (cpu, matchedBy) = view.Cpus.Count > 0 && cpus.Count == 0 ? (null, "no vCPU stands in Windows' kernel") : Match(kpcr, cpus);
        VirtualAddress? context = (offsetPrcbContext ?? layout.Context) is { } offset
            && kernel.TryReadPointer(prcb + (ulong)offset, out var pointer) && pointer.IsKernel && pointer.IsCanonical(kernel.Levels) ? pointer : null;
        VirtualAddress? thread = kernel.TryReadPointer(prcb + (ulong)layout.CurrentThread, out var current)
            && KernelPointers.IsObject(current, kernel.Levels) ? current : null;
        var (process, id, name) = thread is { } running ? ProcessOf(kernel, running, threads, processes) : default;
        var frame = prcb + (ulong?)(layout.ProcessorState + layout.StateContextFrame);
        var special = prcb + (ulong?)(layout.ProcessorState + layout.StateSpecialRegisters);
        var isSaved = view.Cpus.Count == 0 && view.Origin.KeepsRegistersInMemory;
        if (isSaved && special is { } saved && (context ?? frame) is { } at && layout.StateContextFrame - layout.StateSpecialRegisters is { } distance)
        {
            cpu = ReadSaved(kernel, number, at, saved, distance, process, processes);
            matchedBy = cpu is null ? "its CONTEXT and SpecialRegisters in the image hold none" : "its CONTEXT and SpecialRegisters, which the image keeps in memory";
        }
        return new Processor
        {
            Number = number,
            Kpcr = kpcr,
            Kprcb = prcb,
            Context = context,
            ContextFrame = frame,
            SpecialRegisters = special,
            Cpu = cpu,
            RegistersAreInMemory = isSaved && cpu is not null,
            MatchedBy = matchedBy,
            CurrentThread = thread,
            CurrentProcess = process,
            CurrentProcessId = id,
            CurrentProcessName = name,
        };
    }

    /// <summary>The registers that a dump's memory keeps for this processor.</summary>
    private static CpuState? ReadSaved(
        AddressSpace kernel, int number, VirtualAddress contextAt, VirtualAddress specialAt, int specialSize, VirtualAddress? process, ProcessLayout processes)
    {
        var context = new byte[Amd64ContextLayout.Size];
        var hasContext = kernel.TryRead(contextAt, context);
        var special = new byte[Math.Clamp(specialSize, SpecialRegistersLayout.MinSize, MaxSpecialRegisters)];
        var hasSpecial = kernel.TryRead(specialAt, special);
        var cpu = SavedRegisters.Read(number, "CONTEXT and SpecialRegisters of its KPRCB", hasContext ? context : default, hasSpecial ? special : default);
        if (cpu?.Cr3 is not { } cr3 || Runs(kernel, process, processes, KernelPointers.TableBase(cr3)))
            return cpu;
        // The page table is not the running process's: whoever made the dump saved a CONTEXT only (QEMU's win-dmp does), and this is left from an earlier moment.
        return cpu with
        {
            Source = "CONTEXT of its KPRCB", Cr2 = null, Cr3 = null, Cr8 = null, Dr0 = null, Dr1 = null, Dr2 = null, Dr3 = null, Dr6 = null, Dr7 = null, DebugCtl = null, KernelGsBase = null,
            Gs = cpu.Gs is { } gs ? gs with { Base = null } : null, Fs = cpu.Fs is { } fs ? fs with { Base = null } : null,
        };
    }

    private static bool Runs(AddressSpace kernel, VirtualAddress? process, ProcessLayout processes, ulong table)
    {
        if (process is not { } eprocess)
            return true;
        if (kernel.TryRead(eprocess + (ulong)processes.DirectoryTableBase, out ulong own) && KernelPointers.TableBase(own) == table)
            return true;
        return processes.UserDirectoryTableBase is { } offset && kernel.TryRead(eprocess + (ulong)offset, out ulong user) && KernelPointers.TableBase(user) == table;
    }

    /// <summary>Between kernel entry and SWAPGS the KPCR is in KERNEL_GS_BASE, in kernel code in the GS base: either counts.</summary>
    private static (CpuState? Cpu, string How) Match(VirtualAddress kpcr, IReadOnlyList<CpuState> cpus)
    {
        if (cpus.Count == 0)
            return (null, "the view has no registers");
        CpuState? byGs = null, bySwap = null;
        var matches = 0;
        foreach (var cpu in cpus)
        {
            var gs = cpu.Gs?.Base == kpcr.Value;
            var swap = cpu.KernelGsBase == kpcr.Value;
            if (gs || swap)
                matches++;
            if (gs)
                byGs ??= cpu;
            else if (swap)
                bySwap ??= cpu;
        }
        var more = matches > 1 ? $" ({matches} vCPUs claim this KPCR; the first was taken)" : "";
        if (byGs is not null)
            return (byGs, $"GS base of vCPU {byGs.Index} is its KPCR{more}");
        if (bySwap is not null)
            return (bySwap, $"KERNEL_GS_BASE of vCPU {bySwap.Index} is its KPCR{more}");
        return (null, $"neither GS base of any of the {cpus.Count} vCPUs is its KPCR {kpcr}");
    }

    private static (VirtualAddress? Process, ulong? Id, string? Name) ProcessOf(
        AddressSpace kernel, VirtualAddress thread, ThreadLayout threads, ProcessLayout processes)
    {
        if (!(kernel.TryReadPointer(thread + (ulong)threads.AttachedProcess, out var process) && KernelPointers.IsObject(process, kernel.Levels))
            && !(kernel.TryReadPointer(thread + (ulong)threads.Process, out process) && KernelPointers.IsObject(process, kernel.Levels)))
            return default;
        Span<byte> name = stackalloc byte[ProcessReader.ImageFileNameLength];
        var hasName = kernel.TryRead(process + (ulong)processes.ImageFileName, name);
        var hasId = kernel.TryRead(process + (ulong)processes.UniqueProcessId, out ulong id);
        return (process, hasId ? id : null, hasName ? UnicodeString.Ascii(name) : null);
    }
}
