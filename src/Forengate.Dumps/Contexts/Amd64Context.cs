using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;
using L = Forengate.Windows.Amd64ContextLayout;

namespace Forengate.Dumps;

/// <summary>Builds a CONTEXT from a CPU's registers.</summary>
public static class Amd64Context
{
    /// <summary>MXCSR after reset: all exceptions masked (Intel SDM vol. 1, 10.2.3). Windows runs with it.</summary>
    private const uint DefaultMxCsr = 0x1F80;

    /// <summary>
    /// Writes the context. Registers that are unknown are zero, and a group is flagged valid only when every register in it is known: no debugger is told that a guess is a fact.
    /// </summary>
    /// <param name="cpu">Registers of one CPU.</param>
    /// <param name="context">Exactly <see cref="Amd64ContextLayout.Size"/> bytes, overwritten.</param>
    /// <returns>The flags written.</returns>
    public static Amd64ContextFlags Write(CpuState cpu, Span<byte> context)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(context.Length, L.Size);
        context.Clear();
        var flags = Amd64ContextFlags.Amd64;

        if (cpu is { Rip: { } rip, Rsp: { } rsp, Rflags: { } rflags, Cs: { } cs, Ss: { } ss })
        {
            flags |= Amd64ContextFlags.Control;
            Qword(context, L.Rip, rip);
            Qword(context, L.Rsp, rsp);
            BinaryPrimitives.WriteUInt32LittleEndian(context[L.EFlags..], (uint)rflags);
            Word(context, L.SegCs, cs.Selector);
            Word(context, L.SegSs, ss.Selector);
        }

        ReadOnlySpan<(int Offset, ulong? Value)> integers =
        [
            (L.Rax, cpu.Rax), (L.Rcx, cpu.Rcx), (L.Rdx, cpu.Rdx), (L.Rbx, cpu.Rbx), (L.Rbp, cpu.Rbp), (L.Rsi, cpu.Rsi), (L.Rdi, cpu.Rdi),
            (L.R8, cpu.R8), (L.R8 + 8, cpu.R9), (L.R8 + 16, cpu.R10), (L.R8 + 24, cpu.R11),
            (L.R8 + 32, cpu.R12), (L.R8 + 40, cpu.R13), (L.R8 + 48, cpu.R14), (L.R8 + 56, cpu.R15),
        ];
        if (WriteAll(context, integers))
            flags |= Amd64ContextFlags.Integer;

        if (cpu is { Ds: { } ds, Es: { } es, Fs: { } fs, Gs: { } gs })
        {
            flags |= Amd64ContextFlags.Segments;
            Word(context, L.SegDs, ds.Selector);
            Word(context, L.SegEs, es.Selector);
            Word(context, L.SegFs, fs.Selector);
            Word(context, L.SegGs, gs.Selector);
        }

        ReadOnlySpan<(int Offset, ulong? Value)> debug =
            [(L.Dr0, cpu.Dr0), (L.Dr1, cpu.Dr1), (L.Dr2, cpu.Dr2), (L.Dr3, cpu.Dr3), (L.Dr6, cpu.Dr6), (L.Dr7, cpu.Dr7)];
        if (WriteAll(context, debug))
            flags |= Amd64ContextFlags.DebugRegisters;

        if (WriteFloatingPoint(cpu, context))
            flags |= Amd64ContextFlags.FloatingPoint;

        BinaryPrimitives.WriteUInt32LittleEndian(context[L.MxCsr..], cpu.MxCsr ?? DefaultMxCsr);
        BinaryPrimitives.WriteUInt32LittleEndian(context[L.ContextFlags..], (uint)flags);
        return flags;
    }

    private static bool WriteFloatingPoint(CpuState cpu, Span<byte> context)
    {
        var mxCsr = cpu.MxCsr ?? DefaultMxCsr;
        BinaryPrimitives.WriteUInt32LittleEndian(context[L.FltMxCsr..], mxCsr);
        if (cpu.Fcw is { } fcw)
            Word(context, L.FltControlWord, fcw);
        if (cpu.Fsw is { } fsw)
            Word(context, L.FltStatusWord, fsw);
        if (cpu.Ftw is { } ftw)
            context[L.FltTagWord] = ftw;
        var whole = cpu is { MxCsr: not null, Fcw: not null, Fsw: not null, Ftw: not null };
        whole &= Copy(cpu.St, context.Slice(L.FltRegisters, L.FltRegistersSize));
        whole &= Copy(cpu.Xmm, context.Slice(L.FltXmm, L.FltXmmSize));
        return whole;

        static bool Copy(ReadOnlyMemory<byte>? registers, Span<byte> destination)
        {
            if (registers is not { } known || known.Length != destination.Length)
                return false;
            known.Span.CopyTo(destination);
            return true;
        }
    }

    private static bool WriteAll(Span<byte> context, ReadOnlySpan<(int Offset, ulong? Value)> registers)
    {
        var all = true;
        foreach (var (offset, value) in registers)
        {
            all &= value.HasValue;
            Qword(context, offset, value ?? 0);
        }
        return all;
    }

    private static void Qword(Span<byte> context, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(context[offset..], value);

    private static void Word(Span<byte> context, int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(context[offset..], value);
}
