using System.Buffers.Binary;
using Forengate.Memory;
using C = Forengate.Windows.X86ContextLayout;
using S = Forengate.Windows.X86SpecialRegistersLayout;

namespace Forengate.Windows;

/// <summary>Registers as dumps of 32-bit Windows keep them for debuggers: <see cref="SavedRegisters"/> for x86, by the same rules.</summary>
public static class X86SavedRegisters
{
    private const uint Cr0Paging = 1U << 31;

    /// <summary>Reads one processor's registers; null where neither structure holds any.</summary>
    /// <param name="index">What the record is numbered.</param>
    /// <param name="source">For people.</param>
    /// <param name="context">An x86 CONTEXT of at least <see cref="X86ContextLayout.Size"/> bytes; shorter: none.</param>
    /// <param name="special">KSPECIAL_REGISTERS of at least <see cref="X86SpecialRegistersLayout.Size"/> bytes; shorter: none.</param>
    public static CpuState? Read(int index, string source, ReadOnlySpan<byte> context, ReadOnlySpan<byte> special)
    {
        var cpu = new CpuState { Index = index, Source = source };
        var known = false;
        if (context.Length >= C.Size && (X86ContextFlags)Dword(context, C.ContextFlags) is var flags && Has(flags, X86ContextFlags.Control) && Word(context, C.SegCs) != 0)
        {
            cpu = WithContext(cpu, context, flags);
            known = true;
        }
        if (special.Length >= S.Size && (Dword(special, S.Cr0) & Cr0Paging) != 0)
        {
            cpu = WithSpecial(cpu, special);
            known = true;
        }
        return known ? cpu : null;
    }

    /// <summary>Registers that the memory of a 32-bit system keeps of its processors, by Windows' numbers; without those of which it holds none.</summary>
    public static IReadOnlyList<CpuState> Of(X86System system)
    {
        var cpus = new List<CpuState>();
        Span<byte> context = stackalloc byte[C.Size], special = stackalloc byte[S.Size];
        foreach (var processor in system.Processors)
        {
            var (got, more) = (system.Kernel.Read(processor.Context, context), system.Kernel.Read(processor.SpecialRegisters, special));
            if (Read(processor.Number, "the CONTEXT and KSPECIAL_REGISTERS that the dump's memory keeps", context[..got], special[..more]) is { } cpu)
                cpus.Add(cpu);
        }
        return cpus;
    }

    private static bool Has(X86ContextFlags flags, X86ContextFlags group) => (flags & group) == group;

    private static CpuState WithContext(CpuState cpu, ReadOnlySpan<byte> c, X86ContextFlags flags)
    {
        cpu = cpu with
        {
            Rip = Dword(c, C.Eip), Rsp = Dword(c, C.Esp), Rbp = Dword(c, C.Ebp), Rflags = Dword(c, C.EFlags),
            Cs = new SegmentRegister(Word(c, C.SegCs)), Ss = new SegmentRegister(Word(c, C.SegSs)),
        };
        if (Has(flags, X86ContextFlags.Integer))
            cpu = cpu with { Rax = Dword(c, C.Eax), Rcx = Dword(c, C.Ecx), Rdx = Dword(c, C.Edx), Rbx = Dword(c, C.Ebx), Rsi = Dword(c, C.Esi), Rdi = Dword(c, C.Edi) };
        if (Has(flags, X86ContextFlags.Segments))
        {
            cpu = cpu with
            {
                Ds = new SegmentRegister(Word(c, C.SegDs)), Es = new SegmentRegister(Word(c, C.SegEs)), Fs = new SegmentRegister(Word(c, C.SegFs)), Gs = new SegmentRegister(Word(c, C.SegGs)),
            };
        }
        if (Has(flags, X86ContextFlags.DebugRegisters))
            cpu = cpu with { Dr0 = Dword(c, C.Dr0), Dr1 = Dword(c, C.Dr1), Dr2 = Dword(c, C.Dr2), Dr3 = Dword(c, C.Dr3), Dr6 = Dword(c, C.Dr6), Dr7 = Dword(c, C.Dr7) };
        // XMM0 to XMM7 are there too, but a record of them has sixteen, and the others would be passed off as zero.
        if (Has(flags, X86ContextFlags.Extended))
        {
            cpu = cpu with
            {
                Fcw = Word(c, C.ControlWord), Fsw = Word(c, C.StatusWord), Ftw = c[C.TagWord], MxCsr = Dword(c, C.MxCsr), St = c.Slice(C.FloatRegisters, C.FloatRegistersSize).ToArray(),
            };
        }
        return cpu;
    }

    private static CpuState WithSpecial(CpuState cpu, ReadOnlySpan<byte> s) => cpu with
    {
        Cr0 = Dword(s, S.Cr0), Cr2 = Dword(s, S.Cr2), Cr3 = Dword(s, S.Cr3), Cr4 = Dword(s, S.Cr4),
        Gdtr = Table(s, S.GdtrLimit), Idtr = Table(s, S.IdtrLimit),
        Tr = Word(s, S.Tr) is not 0 and var tr ? new SegmentRegister(tr) : null, Ldtr = new SegmentRegister(Word(s, S.Ldtr)),
        Dr0 = Dword(s, S.KernelDr0), Dr1 = Dword(s, S.KernelDr1), Dr2 = Dword(s, S.KernelDr2), Dr3 = Dword(s, S.KernelDr3), Dr6 = Dword(s, S.KernelDr6), Dr7 = Dword(s, S.KernelDr7),
    };

    private static DescriptorTableRegister? Table(ReadOnlySpan<byte> s, int limit) =>
        Dword(s, limit + sizeof(ushort)) is not 0 and var table ? new DescriptorTableRegister(table, Word(s, limit)) : null;

    private static ushort Word(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[offset..]);

    private static uint Dword(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
}
