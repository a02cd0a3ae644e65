using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Reads the processors from <c>KiProcessorBlock</c> and finds each one's vCPU.</summary>
internal static class ProcessorReader
{
    public static List<Processor> Read(
        AddressSpace kernel, VirtualAddress block, ProcessorLayout layout, ThreadLayout threads, ProcessLayout processes,
        int? offsetPrcbContext, IReadOnlyList<CpuState> cpus, WindowsLimits limits, WarningList warnings)
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
            found.Add(Describe(kernel, number, prcb, layout, threads, processes, offsetPrcbContext, cpus));
        }
        return found;
    }

    private static Processor Describe(
        AddressSpace kernel, int number, VirtualAddress prcb, ProcessorLayout layout, ThreadLayout threads, ProcessLayout processes,
        int? offsetPrcbContext, IReadOnlyList<CpuState> cpus)
    {
        var kpcr = prcb - (ulong)layout.PcrPrcb;
        var (cpu, matchedBy) = Match(kpcr, cpus);
        VirtualAddress? context = (offsetPrcbContext ?? layout.Context) is { } offset
            && kernel.TryReadPointer(prcb + (ulong)offset, out var pointer) && pointer.IsKernel && pointer.IsCanonical(kernel.Levels) ? pointer : null;
        VirtualAddress? thread = kernel.TryReadPointer(prcb + (ulong)layout.CurrentThread, out var current)
            && KernelPointers.IsObject(current, kernel.Levels) ? current : null;
        var (process, id, name) = thread is { } running ? ProcessOf(kernel, running, threads, processes) : default;
        return new Processor
        {
            Number = number,
            Kpcr = kpcr,
            Kprcb = prcb,
            Context = context,
            ContextFrame = prcb + (ulong?)(layout.ProcessorState + layout.StateContextFrame),
            SpecialRegisters = prcb + (ulong?)(layout.ProcessorState + layout.StateSpecialRegisters),
            Cpu = cpu,
            MatchedBy = matchedBy,
            CurrentThread = thread,
            CurrentProcess = process,
            CurrentProcessId = id,
            CurrentProcessName = name,
        };
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
