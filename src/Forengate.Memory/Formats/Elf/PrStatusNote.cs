using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// NT_PRSTATUS as Linux and QEMU write it for one CPU: general registers, selectors, FS and GS base; no control registers (Linux, include/uapi/linux/elfcore.h and
/// arch/x86 user_regs_struct; QEMU, target/i386/arch_dump.c). Serves where there is no note of QEMU's.
/// </summary>
internal static class PrStatusNote
{
    private const uint NtPrStatus = 1;

    private const int Size64 = 336;
    private const int PidAt64 = 32;
    private const int RegistersAt64 = 112;

    private const int Size32 = 144;
    private const int PidAt32 = 24;
    private const int RegistersAt32 = 72;

    public static bool Is(in ElfNote note) => note.Name.SequenceEqual("CORE"u8) && note.Type == NtPrStatus && note.Description.Length is Size64 or Size32;

    /// <summary>QEMU puts the CPU's number plus one where a process core has the process.</summary>
    public static uint Pid(ReadOnlySpan<byte> note) => BinaryPrimitives.ReadUInt32LittleEndian(note[(note.Length == Size64 ? PidAt64 : PidAt32)..]);

    public static CpuState Parse(ReadOnlySpan<byte> note, int index) => note.Length == Size64 ? Parse64(note, index) : Parse32(note, index);

    /// <summary>Appends the note of a CPU as QEMU writes it; unknown registers are zeros.</summary>
    /// <param name="notes">Behind what is there.</param>
    /// <param name="cpu">The registers.</param>
    /// <param name="is64">In the form of x64, else of i386.</param>
    public static void Add(ElfNoteWriter notes, CpuState cpu, bool is64)
    {
        var note = notes.Add("CORE"u8, NtPrStatus, is64 ? Size64 : Size32);
        BinaryPrimitives.WriteInt32LittleEndian(note[(is64 ? PidAt64 : PidAt32)..], cpu.Index + 1);
        if (is64)
        {
            ReadOnlySpan<ulong?> registers =
            [
                cpu.R15, cpu.R14, cpu.R13, cpu.R12, cpu.Rbp, cpu.Rbx, cpu.R11, cpu.R10, cpu.R9, cpu.R8, cpu.Rax, cpu.Rcx, cpu.Rdx, cpu.Rsi, cpu.Rdi, null,
                cpu.Rip, cpu.Cs?.Selector, cpu.Rflags, cpu.Rsp, cpu.Ss?.Selector, cpu.Fs?.Base, cpu.Gs?.Base,
                cpu.Ds?.Selector, cpu.Es?.Selector, cpu.Fs?.Selector, cpu.Gs?.Selector,
            ];
            for (var i = 0; i < registers.Length; i++)
                BinaryPrimitives.WriteUInt64LittleEndian(note[(RegistersAt64 + (i * sizeof(ulong)))..], registers[i] ?? 0);
            return;
        }
        ReadOnlySpan<ulong?> halves =
        [
            cpu.Rbx, cpu.Rcx, cpu.Rdx, cpu.Rsi, cpu.Rdi, cpu.Rbp, cpu.Rax, cpu.Ds?.Selector, cpu.Es?.Selector, cpu.Fs?.Selector, cpu.Gs?.Selector, null,
            cpu.Rip, cpu.Cs?.Selector, cpu.Rflags, cpu.Rsp, cpu.Ss?.Selector,
        ];
        for (var i = 0; i < halves.Length; i++)
            BinaryPrimitives.WriteUInt32LittleEndian(note[(RegistersAt32 + (i * sizeof(uint)))..], (uint)(halves[i] ?? 0));
    }

    private static CpuState Parse64(ReadOnlySpan<byte> note, int index)
    {
        var registers = note[RegistersAt64..];
        return new CpuState
        {
            Index = index,
            Source = "ELF note (NT_PRSTATUS)",
            R15 = Qword(registers, 0),
            R14 = Qword(registers, 1),
            R13 = Qword(registers, 2),
            R12 = Qword(registers, 3),
            Rbp = Qword(registers, 4),
            Rbx = Qword(registers, 5),
            R11 = Qword(registers, 6),
            R10 = Qword(registers, 7),
            R9 = Qword(registers, 8),
            R8 = Qword(registers, 9),
            Rax = Qword(registers, 10),
            Rcx = Qword(registers, 11),
            Rdx = Qword(registers, 12),
            Rsi = Qword(registers, 13),
            Rdi = Qword(registers, 14),
            Rip = Qword(registers, 16),
            Cs = new SegmentRegister((ushort)Qword(registers, 17)),
            Rflags = Qword(registers, 18),
            Rsp = Qword(registers, 19),
            Ss = new SegmentRegister((ushort)Qword(registers, 20)),
            Ds = new SegmentRegister((ushort)Qword(registers, 23)),
            Es = new SegmentRegister((ushort)Qword(registers, 24)),
            Fs = new SegmentRegister((ushort)Qword(registers, 25), Qword(registers, 21)),
            Gs = new SegmentRegister((ushort)Qword(registers, 26), Qword(registers, 22)),
        };
    }

    private static CpuState Parse32(ReadOnlySpan<byte> note, int index)
    {
        var registers = note[RegistersAt32..];
        return new CpuState
        {
            Index = index,
            Source = "ELF note (NT_PRSTATUS)",
            Rbx = Dword(registers, 0),
            Rcx = Dword(registers, 1),
            Rdx = Dword(registers, 2),
            Rsi = Dword(registers, 3),
            Rdi = Dword(registers, 4),
            Rbp = Dword(registers, 5),
            Rax = Dword(registers, 6),
            Ds = new SegmentRegister((ushort)Dword(registers, 7)),
            Es = new SegmentRegister((ushort)Dword(registers, 8)),
            Fs = new SegmentRegister((ushort)Dword(registers, 9)),
            Gs = new SegmentRegister((ushort)Dword(registers, 10)),
            Rip = Dword(registers, 12),
            Cs = new SegmentRegister((ushort)Dword(registers, 13)),
            Rflags = Dword(registers, 14),
            Rsp = Dword(registers, 15),
            Ss = new SegmentRegister((ushort)Dword(registers, 16)),
        };
    }

    private static ulong Qword(ReadOnlySpan<byte> registers, int index) => BinaryPrimitives.ReadUInt64LittleEndian(registers[(index * 8)..]);

    private static ulong Dword(ReadOnlySpan<byte> registers, int index) => BinaryPrimitives.ReadUInt32LittleEndian(registers[(index * 4)..]);
}
