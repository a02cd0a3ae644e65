using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// QEMU's note of one CPU: <c>struct QEMUCPUState</c>, version 1 (QEMU, target/i386/arch_dump.c), the same in 32-bit and 64-bit cores. It has no EFER, no debug registers, no FPU and of
/// the MSRs only the bases of FS, GS and (since 3.0, known by the note's size) KERNEL_GS_BASE.
/// </summary>
public static class QemuCpuNote
{
    private const uint KnownVersion = 1;
    private const int SizeAt = 4;
    private const int GeneralAt = 8;
    private const int RipAt = GeneralAt + (16 * 8);
    private const int RflagsAt = RipAt + 8;
    private const int SegmentsAt = RflagsAt + 8;
    private const int SegmentSize = 24;
    private const int SegmentLimitAt = 4;
    private const int SegmentFlagsAt = 8;

    /// <summary>For TR and LDTR, QEMU keeps the descriptor's whole upper half; the rest of it is base and limit.</summary>
    private const uint AttributeBits = 0x00FF_FF00;
    private const int SegmentBaseAt = 16;
    private const int ControlAt = SegmentsAt + (10 * SegmentSize);
    private const int KernelGsBaseAt = ControlAt + (5 * 8);

    /// <summary>Bytes that every version of the structure has; KERNEL_GS_BASE follows.</summary>
    public const int LeastSize = KernelGsBaseAt;

    /// <summary>Bytes of the structure with KERNEL_GS_BASE: what QEMU has written since 3.0, and what <see cref="Write"/> fills.</summary>
    public const int Size = KernelGsBaseAt + sizeof(ulong);

    internal static ReadOnlySpan<byte> NoteName => "QEMU"u8;

    internal static bool Is(in ElfNote note) => note.Name.SequenceEqual(NoteName) && note.Type == 0;

    /// <summary>Fills the structure. It can't say that a register is unknown: such are zeros (<see cref="Unknown"/> names them).</summary>
    /// <param name="cpu">The registers.</param>
    /// <param name="note">At least <see cref="Size"/> bytes.</param>
    public static void Write(CpuState cpu, Span<byte> note)
    {
        note[..Size].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(note, KnownVersion);
        BinaryPrimitives.WriteInt32LittleEndian(note[SizeAt..], Size);
        ReadOnlySpan<ulong?> general =
        [
            cpu.Rax, cpu.Rbx, cpu.Rcx, cpu.Rdx, cpu.Rsi, cpu.Rdi, cpu.Rsp, cpu.Rbp,
            cpu.R8, cpu.R9, cpu.R10, cpu.R11, cpu.R12, cpu.R13, cpu.R14, cpu.R15, cpu.Rip, cpu.Rflags,
        ];
        for (var i = 0; i < general.Length; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(note[(GeneralAt + (i * sizeof(ulong)))..], general[i] ?? 0);
        ReadOnlySpan<SegmentRegister?> segments = [cpu.Cs, cpu.Ds, cpu.Es, cpu.Fs, cpu.Gs, cpu.Ss, cpu.Ldtr, cpu.Tr, AsSegment(cpu.Gdtr), AsSegment(cpu.Idtr)];
        for (var i = 0; i < segments.Length; i++)
        {
            var at = note[(SegmentsAt + (i * SegmentSize))..];
            var segment = segments[i].GetValueOrDefault();
            BinaryPrimitives.WriteUInt32LittleEndian(at, segment.Selector);
            BinaryPrimitives.WriteUInt32LittleEndian(at[SegmentLimitAt..], segment.Limit ?? 0);
            BinaryPrimitives.WriteUInt32LittleEndian(at[SegmentFlagsAt..], segment.Attributes ?? 0);
            BinaryPrimitives.WriteUInt64LittleEndian(at[SegmentBaseAt..], segment.Base ?? 0);
        }
        ReadOnlySpan<ulong?> control = [cpu.Cr0, null, cpu.Cr2, cpu.Cr3, cpu.Cr4, cpu.KernelGsBase];
        for (var i = 0; i < control.Length; i++)
            BinaryPrimitives.WriteUInt64LittleEndian(note[(ControlAt + (i * sizeof(ulong)))..], control[i] ?? 0);
    }

    /// <summary>Registers that the structure has a place for and the CPU's source does not know.</summary>
    internal static IEnumerable<string> Unknown(CpuState cpu)
    {
        (string Name, bool Known)[] registers =
        [
            ("general registers",
                cpu is { Rax: not null, Rbx: not null, Rcx: not null, Rdx: not null, Rsi: not null, Rdi: not null, Rsp: not null, Rbp: not null, R8: not null, R9: not null }
                    and { R10: not null, R11: not null, R12: not null, R13: not null, R14: not null, R15: not null }),
            ("rip", cpu.Rip is not null), ("rflags", cpu.Rflags is not null),
            ("cs", IsWhole(cpu.Cs)), ("ds", IsWhole(cpu.Ds)), ("es", IsWhole(cpu.Es)), ("fs", IsWhole(cpu.Fs)), ("gs", IsWhole(cpu.Gs)), ("ss", IsWhole(cpu.Ss)),
            ("ldtr", IsWhole(cpu.Ldtr)), ("tr", IsWhole(cpu.Tr)), ("gdtr", cpu.Gdtr is not null), ("idtr", cpu.Idtr is not null),
            ("cr0", cpu.Cr0 is not null), ("cr2", cpu.Cr2 is not null), ("cr3", cpu.Cr3 is not null), ("cr4", cpu.Cr4 is not null),
            ("kernel_gs_base", cpu.KernelGsBase is not null),
        ];
        return registers.Where(register => !register.Known).Select(register => register.Name);

        static bool IsWhole(SegmentRegister? register) => register is { Base: not null, Limit: not null, Attributes: not null };
    }

    /// <summary>Groups of registers that the CPU's source knows and the structure has no place for.</summary>
    internal static IEnumerable<string> NoRoom(CpuState cpu)
    {
        (string Name, bool Known)[] registers =
        [
            ("cr8", cpu.Cr8 is not null), ("xcr0", cpu.Xcr0 is not null),
            ("debug registers", (cpu.Dr0 ?? cpu.Dr1 ?? cpu.Dr2 ?? cpu.Dr3 ?? cpu.Dr6 ?? cpu.Dr7) is not null),
            ("EFER", cpu.Efer is not null),
            ("STAR, LSTAR, CSTAR, SFMASK", (cpu.Star ?? cpu.LStar ?? cpu.CStar ?? cpu.SfMask) is not null),
            ("other MSRs", (cpu.Pat ?? cpu.ApicBase ?? cpu.SysenterCs ?? cpu.SysenterEsp ?? cpu.SysenterEip ?? cpu.Tsc ?? cpu.TscAux ?? cpu.DebugCtl) is not null),
            ("FPU", (cpu.Fcw ?? cpu.Fsw ?? cpu.Ftw) is not null || cpu.St is not null),
            ("XMM and YMM", cpu.MxCsr is not null || cpu.Xmm is not null || cpu.YmmHigh is not null),
        ];
        return registers.Where(register => register.Known).Select(register => register.Name);
    }

    /// <summary>Reads the note; null when it is shorter than the structure or of another version.</summary>
    /// <param name="note">The note's description: the structure itself.</param>
    /// <param name="index">QEMU's number of the CPU.</param>
    public static CpuState? Parse(ReadOnlySpan<byte> note, int index)
    {
        if (note.Length < LeastSize || BinaryPrimitives.ReadUInt32LittleEndian(note) != KnownVersion)
            return null;
        var size = Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(note[SizeAt..]), (uint)note.Length);
        if (size < LeastSize)
            return null;
        return new CpuState
        {
            Index = index,
            Source = "ELF note (QEMU)",
            Rax = General(note, 0),
            Rbx = General(note, 1),
            Rcx = General(note, 2),
            Rdx = General(note, 3),
            Rsi = General(note, 4),
            Rdi = General(note, 5),
            Rsp = General(note, 6),
            Rbp = General(note, 7),
            R8 = General(note, 8),
            R9 = General(note, 9),
            R10 = General(note, 10),
            R11 = General(note, 11),
            R12 = General(note, 12),
            R13 = General(note, 13),
            R14 = General(note, 14),
            R15 = General(note, 15),
            Rip = Qword(note, RipAt),
            Rflags = Qword(note, RflagsAt),
            Cs = Segment(note, 0),
            Ds = Segment(note, 1),
            Es = Segment(note, 2),
            Fs = Segment(note, 3),
            Gs = Segment(note, 4),
            Ss = Segment(note, 5),
            Ldtr = Segment(note, 6),
            Tr = Segment(note, 7),
            Gdtr = Table(note, 8),
            Idtr = Table(note, 9),
            Cr0 = Qword(note, ControlAt),
            Cr2 = Qword(note, ControlAt + (2 * 8)),
            Cr3 = Qword(note, ControlAt + (3 * 8)),
            Cr4 = Qword(note, ControlAt + (4 * 8)),
            KernelGsBase = size >= KernelGsBaseAt + sizeof(ulong) ? Qword(note, KernelGsBaseAt) : null,
        };
    }

    private static SegmentRegister? AsSegment(DescriptorTableRegister? table) => table is { } known ? new SegmentRegister(0, known.Base, known.Limit) : null;

    private static ulong Qword(ReadOnlySpan<byte> note, int at) => BinaryPrimitives.ReadUInt64LittleEndian(note[at..]);

    private static ulong General(ReadOnlySpan<byte> note, int index) => Qword(note, GeneralAt + (index * 8));

    private static SegmentRegister Segment(ReadOnlySpan<byte> note, int index)
    {
        var at = note.Slice(SegmentsAt + (index * SegmentSize), SegmentSize);
        return new SegmentRegister(
            (ushort)BinaryPrimitives.ReadUInt32LittleEndian(at),
            BinaryPrimitives.ReadUInt64LittleEndian(at[SegmentBaseAt..]),
            BinaryPrimitives.ReadUInt32LittleEndian(at[SegmentLimitAt..]),
            BinaryPrimitives.ReadUInt32LittleEndian(at[SegmentFlagsAt..]) & AttributeBits);
    }

    private static DescriptorTableRegister Table(ReadOnlySpan<byte> note, int index)
    {
        var at = note.Slice(SegmentsAt + (index * SegmentSize), SegmentSize);
        return new DescriptorTableRegister(BinaryPrimitives.ReadUInt64LittleEndian(at[SegmentBaseAt..]), BinaryPrimitives.ReadUInt32LittleEndian(at[SegmentLimitAt..]));
    }
}
