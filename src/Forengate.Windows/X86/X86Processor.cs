using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>One processor of a 32-bit system.</summary>
/// <param name="Number">Windows' number.</param>
/// <param name="Kpcr">Its KPCR.</param>
/// <param name="Kprcb">Its KPRCB.</param>
/// <param name="Context">The CONTEXT a debugger reads: where <c>KPRCB.Context</c> points, before Windows 7 the one in <c>KPRCB.ProcessorState</c>.</param>
/// <param name="SpecialRegisters">KSPECIAL_REGISTERS in <c>KPRCB.ProcessorState</c>.</param>
/// <param name="CurrentThread"><c>KPRCB.CurrentThread</c>.</param>
/// <param name="Cpu">The view's CPU whose GDT this processor's KPCR names; null where none is.</param>
public sealed record X86Processor(
    int Number, VirtualAddress Kpcr, VirtualAddress Kprcb, VirtualAddress Context, VirtualAddress SpecialRegisters, VirtualAddress CurrentThread, CpuState? Cpu);

/// <summary>Reads the processors that <c>KiProcessorBlock</c> names.</summary>
internal static class X86ProcessorReader
{
    /// <summary>Bytes of the x86 CONTEXT (winnt.h), which KSPECIAL_REGISTERS follows in KPROCESSOR_STATE.</summary>
    public const int ContextLength = 0x2CC;

    /// <summary>32 processors are all that 32-bit Windows takes (one bit each in KAFFINITY).</summary>
    private const int MaxProcessors = 32;

    public static IReadOnlyList<X86Processor> Read(AddressSpace kernel, VirtualAddress block, X86Layout layout, IReadOnlyList<CpuState> cpus, List<Fact> facts)
    {
        var processors = new List<X86Processor>();
        for (var number = 0; number < MaxProcessors; number++)
        {
            if (!X86Pointers.TryRead(kernel, block + (ulong)(number * sizeof(uint)), out var kprcb))
                break;
            var kpcr = kprcb - X86Layout.PcrContainedPrcb;
            if (!X86Pointers.TryRead(kernel, kpcr + X86Layout.PcrSelf, out var self) || self != kpcr || !X86Pointers.TryRead(kernel, kpcr + X86Layout.PcrPrcb, out var contained) || contained != kprcb
                || !kernel.TryRead(kprcb + (ulong)layout.ProcessorNumber, out byte own) || own != number)
            {
                facts.Add(new Fact($"processor {number}", null, $"KiProcessorBlock names a KPRCB at {kprcb}, but what lies there is not that processor's"));
                break;
            }
            kernel.TryRead(kpcr + X86Layout.PcrGdt, out uint gdt);
            kernel.TryRead(kprcb + (ulong)layout.CurrentThread, out uint thread);
            var state = kprcb + (ulong)layout.ProcessorState;
            var context = layout.ContextPointer is { } pointer && X86Pointers.TryRead(kernel, kprcb + (ulong)pointer, out var elsewhere) ? elsewhere : state;
            var cpu = gdt == 0 ? null : cpus.FirstOrDefault(cpu => (uint?)cpu.Gdtr?.Base == gdt);
            processors.Add(new X86Processor(number, kpcr, kprcb, context, kprcb + (ulong)layout.SpecialRegisters, new VirtualAddress(thread), cpu));
            facts.Add(new Fact(
                $"processor {number}", $"KPCR {kpcr}, KPRCB {kprcb}",
                cpu is not null ? $"vCPU {cpu.Index} by its GDT" : cpus.Count == 0 ? "the view has no registers" : "no vCPU has its GDT"));
        }
        return processors;
    }
}
