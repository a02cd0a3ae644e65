using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>What the processors' blocks must look like, and that the CPUs agree with them.</summary>
internal static class ProcessorProof
{
    private const byte ThreadObject = 6;
    private const byte TypeMask = 0x7F;

    public static void Run(WindowsSystem system, List<Process> processes, ProofSheet sheet)
    {
        var (kernel, processors) = (system.Kernel, system.Processors);
        sheet.Check("KiProcessorBlock leads to processors", system.AddressOf(Symbols.KernelGlobal.KiProcessorBlock) is null ? null : processors.Count > 0, $"{processors.Count} processors, numbered from 0");
        int Count(Func<Processor, bool> holds) => processors.Count(holds);
        var total = processors.Count;
        var layout = system.Layouts.Processor;
        sheet.All("each KPCR names itself", Count(p => kernel.TryReadPointer(p.Kpcr + (ulong)layout.PcrSelf, out var self) && self == p.Kpcr), total, "processors");
        sheet.All("each KPCR names its KPRCB", Count(p => kernel.TryReadPointer(p.Kpcr + PublicLayouts.PcrCurrentPrcb, out var own) && own == p.Kprcb), total, "processors");
        sheet.All("each runs a thread object", Count(p => p.CurrentThread is { } thread && kernel.TryRead(thread + (ulong)system.Layouts.Process.HeaderType, out byte type) && (type & TypeMask) == ThreadObject), total, "processors");
        sheet.All("each thread that runs belongs to a process object", Count(p => p.CurrentProcess is { } process && kernel.TryRead(process + (ulong)system.Layouts.Process.HeaderType, out byte type) && (type & TypeMask) == 3), total, "processors");
        sheet.All("SpecialRegisters has the KPCR's GDT", Count(p => Same(kernel, p.SpecialRegisters + PublicLayouts.SpecialGdtrBase, p.Kpcr + PublicLayouts.PcrGdtBase)), total, "processors");
        sheet.All("SpecialRegisters has the KPCR's IDT", Count(p => Same(kernel, p.SpecialRegisters + PublicLayouts.SpecialIdtrBase, p.Kpcr + PublicLayouts.PcrIdtBase)), total, "processors");
        sheet.All("ContextFrame is a CONTEXT of this processor kind, or none yet", Count(p => IsContext(kernel, p.ContextFrame)), total, "processors");
        sheet.All("KPRCB.Context leads to a CONTEXT", Count(p => IsContext(kernel, p.Context)), layout.Context is null && system.Kdbg?.OffsetPrcbContext is null ? 0 : total, "processors");

        // The CPUs' own registers, where the view has them.
        var matched = processors.Where(static p => p.Cpu is not null).ToList();
        // Those that stand in the hypervisor or the secure kernel prove nothing of Windows.
        var within = system.View.Cpus.Count(cpu => !system.OutsideCpus.Contains(cpu.Index));
        sheet.Check(
            "CPUs are processors by their GS bases", within == 0 ? null : matched.Count > 0 || processors.Count == 0, $"{matched.Count} of {within} CPUs{(within == system.View.Cpus.Count ? "" : " in Windows")}");
        sheet.All("CPUs' GDT and IDT are their KPCR's", matched.Count(p => HasTables(kernel, p)), matched.Count(static p => p.Cpu is { Gdtr: not null, Idtr: not null }), "CPUs");
        var tables = processes.SelectMany(static process => (ulong[])[process.DirectoryTableBase, process.UserDirectoryTableBase ?? 0]).Where(static table => table != 0).ToHashSet();
        tables.Add(system.SystemDirectoryTableBase);
        var own = matched.Where(p => p is { Cpu.Cr3: not null, CurrentProcess: not null } && processes.Exists(process => process.Address == p.CurrentProcess)).ToList();
        sheet.All("CPUs' CR3 is a table of the process they run", own.Count(p => tables.Contains(KernelPointers.TableBase(p.Cpu!.Cr3!.Value))), own.Count, "CPUs");
    }

    private static bool HasTables(AddressSpace kernel, Processor processor) =>
        processor.Cpu is { Gdtr: { } gdtr, Idtr: { } idtr }
        && kernel.TryRead(processor.Kpcr + PublicLayouts.PcrGdtBase, out ulong gdt) && gdt == gdtr.Base
        && kernel.TryRead(processor.Kpcr + PublicLayouts.PcrIdtBase, out ulong idt) && idt == idtr.Base;

    private static bool Same(AddressSpace kernel, VirtualAddress? one, VirtualAddress other) =>
        one is { } at && kernel.TryRead(at, out ulong here) && kernel.TryRead(other, out ulong there) && here == there && here != 0;

    private static bool IsContext(AddressSpace kernel, VirtualAddress? at) =>
        at is { } context && kernel.TryRead(context + PublicLayouts.ContextFlags, out uint flags) && (flags == 0 || (flags & PublicLayouts.ContextAmd64) != 0);
}
