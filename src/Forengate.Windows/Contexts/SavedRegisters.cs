using System.Buffers.Binary;
using Forengate.Memory;
using C = Forengate.Windows.Amd64ContextLayout;
using S = Forengate.Windows.SpecialRegistersLayout;

namespace Forengate.Windows;

/// <summary>
/// Registers as a crash dump's memory keeps them for debuggers: a CONTEXT and the KSPECIAL_REGISTERS of each processor. The reverse of what a dump's writer puts there. Only what
/// the structures say is known is known: a group that ContextFlags does not name stays unknown, and special registers that were never saved (paging off in CR0) do too.
/// </summary>
public static class SavedRegisters
{
    private const ulong Cr0Paging = 1UL << 31;

    /// <summary>CONTEXT_EXTENDED bits above the groups (CONTEXT_EXCEPTION_ACTIVE and such) say nothing of registers.</summary>
    private static bool Has(Amd64ContextFlags flags, Amd64ContextFlags group) => (flags & group) == group;

    /// <summary>Reads one processor's registers; null where neither structure holds any.</summary>
    /// <param name="index">What the record is numbered.</param>
    /// <param name="source">For people.</param>
    /// <param name="context">A CONTEXT of <see cref="Amd64ContextLayout.Size"/> bytes; shorter: none.</param>
    /// <param name="special">KSPECIAL_REGISTERS of at least <see cref="SpecialRegistersLayout.MinSize"/> bytes; shorter: none.</param>
    public static CpuState? Read(int index, string source, ReadOnlySpan<byte> context, ReadOnlySpan<byte> special)
    {
        var cpu = new CpuState { Index = index, Source = source };
        var known = false;
        if (context.Length >= C.Size && new Amd64ContextView(context).Flags is var flags && Has(flags, Amd64ContextFlags.Control) && Word(context, C.SegCs) != 0)
        {
            cpu = WithContext(cpu, context, flags);
            known = true;
        }
        if (special.Length >= S.MinSize && (Qword(special, S.Cr0) & Cr0Paging) != 0)
        {
            cpu = WithSpecial(cpu, special);
            // On its own it tells page tables and descriptor tables, and not where the processor was.
            known = true;
        }
        return known ? cpu : null;
    }

    private static CpuState WithContext(CpuState cpu, ReadOnlySpan<byte> c, Amd64ContextFlags flags)
    {
        cpu = cpu with
        {
            Rip = Qword(c, C.Rip), Rsp = Qword(c, C.Rsp), Rflags = BinaryPrimitives.ReadUInt32LittleEndian(c[C.EFlags..]),
            Cs = new SegmentRegister(Word(c, C.SegCs)), Ss = new SegmentRegister(Word(c, C.SegSs)),
        };
        if (Has(flags, Amd64ContextFlags.Integer))
        {
            cpu = cpu with
            {
                Rax = Qword(c, C.Rax), Rcx = Qword(c, C.Rcx), Rdx = Qword(c, C.Rdx), Rbx = Qword(c, C.Rbx), Rbp = Qword(c, C.Rbp), Rsi = Qword(c, C.Rsi), Rdi = Qword(c, C.Rdi),
                R8 = Qword(c, C.R8), R9 = Qword(c, C.R8 + 8), R10 = Qword(c, C.R8 + 16), R11 = Qword(c, C.R8 + 24),
                R12 = Qword(c, C.R8 + 32), R13 = Qword(c, C.R8 + 40), R14 = Qword(c, C.R8 + 48), R15 = Qword(c, C.R8 + 56),
            };
        }
        if (Has(flags, Amd64ContextFlags.Segments))
        {
            cpu = cpu with
            {
                Ds = new SegmentRegister(Word(c, C.SegDs)), Es = new SegmentRegister(Word(c, C.SegEs)), Fs = new SegmentRegister(Word(c, C.SegFs)), Gs = new SegmentRegister(Word(c, C.SegGs)),
            };
        }
        if (Has(flags, Amd64ContextFlags.DebugRegisters))
        {
            cpu = cpu with
            {
                Dr0 = Qword(c, C.Dr0), Dr1 = Qword(c, C.Dr1), Dr2 = Qword(c, C.Dr2), Dr3 = Qword(c, C.Dr3), Dr6 = Qword(c, C.Dr6), Dr7 = Qword(c, C.Dr7),
            };
        }
        if (Has(flags, Amd64ContextFlags.FloatingPoint))
        {
            cpu = cpu with
            {
                Fcw = Word(c, C.FltControlWord), Fsw = Word(c, C.FltStatusWord), Ftw = c[C.FltTagWord], MxCsr = BinaryPrimitives.ReadUInt32LittleEndian(c[C.FltMxCsr..]),
                St = c.Slice(C.FltRegisters, C.FltRegistersSize).ToArray(), Xmm = c.Slice(C.FltXmm, C.FltXmmSize).ToArray(),
            };
        }
        return cpu;
    }

    private static CpuState WithSpecial(CpuState cpu, ReadOnlySpan<byte> s)
    {
        cpu = cpu with
        {
            Cr0 = Qword(s, S.Cr0), Cr2 = Qword(s, S.Cr2), Cr3 = Qword(s, S.Cr3), Cr4 = Qword(s, S.Cr4), Cr8 = Qword(s, S.Cr8),
            Gdtr = Table(s, S.GdtrLimit), Idtr = Table(s, S.IdtrLimit),
            Tr = Word(s, S.Tr) is not 0 and var tr ? new SegmentRegister(tr) : null, Ldtr = new SegmentRegister(Word(s, S.Ldtr)),
            // The debug registers of the kernel are the processor's own; a CONTEXT may carry a thread's.
            Dr0 = Qword(s, S.KernelDr0), Dr1 = Qword(s, S.KernelDr1), Dr2 = Qword(s, S.KernelDr2), Dr3 = Qword(s, S.KernelDr3), Dr6 = Qword(s, S.KernelDr6), Dr7 = Qword(s, S.KernelDr7),
            MxCsr = cpu.MxCsr ?? (BinaryPrimitives.ReadUInt32LittleEndian(s[S.MxCsr..]) is not 0 and var mxCsr ? mxCsr : null),
            DebugCtl = Qword(s, S.DebugControl),
        };
        // The system call's entry is never zero once it was saved, nor are its neighbours then mere zeros.
        if (Qword(s, S.MsrLStar) is not 0 and var entry)
        {
            cpu = cpu with { LStar = entry, Star = Qword(s, S.MsrStar), CStar = Qword(s, S.MsrCStar), SfMask = Qword(s, S.MsrSyscallMask), KernelGsBase = Qword(s, S.MsrGsSwap) };
            if (cpu.Gs is { } gs)
                cpu = cpu with { Gs = gs with { Base = Qword(s, S.MsrGsBase) } };
        }
        if (s.Length >= S.Xcr0 + sizeof(ulong) && Qword(s, S.Xcr0) is not 0 and var xcr0)
            cpu = cpu with { Xcr0 = xcr0 };
        if (s.Length >= S.MsrFsBase + sizeof(ulong) && cpu.Fs is { } fs && Qword(s, S.MsrLStar) != 0)
            cpu = cpu with { Fs = fs with { Base = Qword(s, S.MsrFsBase) } };
        return cpu;
    }

    private static DescriptorTableRegister? Table(ReadOnlySpan<byte> s, int limit) =>
        Qword(s, limit + sizeof(ushort)) is not 0 and var table ? new DescriptorTableRegister(table, Word(s, limit)) : null;

    private static ushort Word(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[offset..]);

    private static ulong Qword(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]);
}
