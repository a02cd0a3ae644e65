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
    private const int SegmentBaseAt = 16;
    private const int ControlAt = SegmentsAt + (10 * SegmentSize);
    private const int KernelGsBaseAt = ControlAt + (5 * 8);

    /// <summary>Bytes that every version of the structure has; KERNEL_GS_BASE follows.</summary>
    public const int LeastSize = KernelGsBaseAt;

    internal static bool Is(in ElfNote note) => note.Name.SequenceEqual("QEMU"u8) && note.Type == 0;

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

    private static ulong Qword(ReadOnlySpan<byte> note, int at) => BinaryPrimitives.ReadUInt64LittleEndian(note[at..]);

    private static ulong General(ReadOnlySpan<byte> note, int index) => Qword(note, GeneralAt + (index * 8));

    private static SegmentRegister Segment(ReadOnlySpan<byte> note, int index)
    {
        var at = note.Slice(SegmentsAt + (index * SegmentSize), SegmentSize);
        return new SegmentRegister(
            (ushort)BinaryPrimitives.ReadUInt32LittleEndian(at),
            BinaryPrimitives.ReadUInt64LittleEndian(at[SegmentBaseAt..]),
            BinaryPrimitives.ReadUInt32LittleEndian(at[SegmentLimitAt..]),
            BinaryPrimitives.ReadUInt32LittleEndian(at[SegmentFlagsAt..]));
    }

    private static DescriptorTableRegister Table(ReadOnlySpan<byte> note, int index)
    {
        var at = note.Slice(SegmentsAt + (index * SegmentSize), SegmentSize);
        return new DescriptorTableRegister(BinaryPrimitives.ReadUInt64LittleEndian(at[SegmentBaseAt..]), BinaryPrimitives.ReadUInt32LittleEndian(at[SegmentLimitAt..]));
    }
}
