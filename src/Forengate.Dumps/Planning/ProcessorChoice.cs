using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>
/// The processor whose CONTEXT belongs into the header: what a debugger shows first.
/// </summary>
/// <remarks>
/// After a bugcheck it is the one that called KeBugCheckEx. That function saves its register arguments into their home space on the caller's stack (the x64 calling
/// convention gives it one), so stop code and first two parameters follow each other on that processor's stack and on no other. Not shown on real data.
/// Else: kernel mode and not idle before kernel mode, before not idle, before number 0.
/// </remarks>
/// <param name="Processor">Null where Windows has no processor that could be read.</param>
/// <param name="Why">For people.</param>
internal sealed record ProcessorChoice(Processor? Processor, string Why)
{
    /// <summary>How much of a stack is looked at; kernel stacks have at most 24 KiB where no driver enlarges them.</summary>
    private const int StackBytes = 24 << 10;

    public static ProcessorChoice Make(IReadOnlyList<Processor> processors, BugCheckData? bugCheck, AddressSpace kernel)
    {
        if (processors.Count == 0)
            return new(null, "no processor was found");
        if (bugCheck is not null)
        {
            var callers = processors.Where(processor => StackHolds(processor, bugCheck, kernel)).ToList();
            if (callers.Count == 1)
                return new(callers[0], $"processor {callers[0].Number}: the stop code and its parameters lie on its stack, where KeBugCheckEx saves them");
        }
        var known = processors.Where(processor => processor.Cpu?.Rip is not null).ToList();
        if (known.Count == 0)
            return new(processors[0], $"processor {processors[0].Number}: no registers are known of any");
        return
            First(known, processor => InKernel(processor) && !IsIdle(processor), "the first in kernel mode that is not idle") ??
            First(known, InKernel, "the first in kernel mode") ??
            First(known, processor => !IsIdle(processor), "the first that is not idle") ??
            new(known[0], $"processor {known[0].Number}: the first with registers");
    }

    private static ProcessorChoice? First(List<Processor> processors, Func<Processor, bool> isRight, string why) =>
        processors.Find(processor => isRight(processor)) is { } found ? new(found, $"processor {found.Number}: {why}") : null;

    private static bool InKernel(Processor processor) => processor.Cpu?.Cpl == 0;

    /// <summary>The idle threads belong to the process of PID 0.</summary>
    private static bool IsIdle(Processor processor) => processor.CurrentProcessId == 0;

    private static bool StackHolds(Processor processor, BugCheckData bugCheck, AddressSpace kernel)
    {
        if (processor.Cpu?.Rsp is not { } rsp || !new VirtualAddress(rsp).IsKernel)
            return false;
        var stack = new byte[StackBytes];
        var length = kernel.Read(new VirtualAddress(rsp & ~7UL), stack);
        Span<byte> home = stackalloc byte[3 * sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(home, bugCheck.Code);
        BinaryPrimitives.WriteUInt64LittleEndian(home[8..], bugCheck.Parameter1);
        BinaryPrimitives.WriteUInt64LittleEndian(home[16..], bugCheck.Parameter2);
        for (var at = 0; at + home.Length <= length; at += sizeof(ulong))
        {
            if (stack.AsSpan(at, home.Length).SequenceEqual(home))
                return true;
        }
        return false;
    }
}
