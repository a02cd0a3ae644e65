using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// The CPU notes at the beginning of an ELF core that QEMU wrote (ELF-64 or ELF-32, System V ABI; note "QEMU" version 1: QEMU, target/i386/arch_dump.c, struct QEMUCPUState).
/// The file may break off behind the notes.
/// </summary>
internal static class ElfNotes
{
    private const uint PtNote = 4;
    private const int MostHeaders = 4096;
    /// <summary>QEMU's own limit is far below.</summary>
    private const int MostCpus = 4096;

    // struct QEMUCPUState: version, size, then 18 qwords, 10 descriptors of 24 bytes, CR0 to CR4, KERNEL_GS_BASE.
    private const int GeneralOffset = 8;
    private const int SegmentOffset = GeneralOffset + 18 * 8;
    private const int SegmentSize = 24;
    private const int ControlOffset = SegmentOffset + 10 * SegmentSize;
    private const int KernelGsOffset = ControlOffset + 5 * 8;

    /// <summary>True when headers and notes are all there.</summary>
    public static bool IsComplete(ReadOnlySpan<byte> file) => FindNotes(file, out var offset, out var length) && offset + length <= (ulong)file.Length;

    /// <summary>One record a CPU, in QEMU's order; empty when the file holds none.</summary>
    public static List<CpuState> Parse(ReadOnlySpan<byte> file)
    {
        var cpus = new List<CpuState>();
        if (!FindNotes(file, out var offset, out var length) || offset > (ulong)file.Length)
            return cpus;
        var notes = file.Slice((int)offset, (int)Math.Min(length, (ulong)file.Length - offset));
        while (notes.Length >= 12 && cpus.Count < MostCpus)
        {
            var nameSize = BinaryPrimitives.ReadUInt32LittleEndian(notes);
            var descriptionSize = BinaryPrimitives.ReadUInt32LittleEndian(notes[4..]);
            var descriptionAt = 12 + Align(nameSize);
            var end = descriptionAt + Align(descriptionSize);
            if (end > (ulong)notes.Length)
                break;
            var name = notes.Slice(12, (int)nameSize);
            if (name.StartsWith("QEMU"u8) && descriptionSize >= ControlOffset + 5 * 8)
                cpus.Add(ParseCpu(cpus.Count, notes.Slice((int)descriptionAt, (int)descriptionSize)));
            notes = notes[(int)end..];
        }
        return cpus;
    }

    private static ulong Align(uint size) => ((ulong)size + 3) & ~3UL;

    private static bool FindNotes(ReadOnlySpan<byte> file, out ulong offset, out ulong length)
    {
        offset = length = 0;
        if (file.Length < 52 || !file.StartsWith("\u007fELF"u8) || file[5] != 1)
            return false;
        var wide = file[4] == 2;
        if (wide && file.Length < 64)
            return false;
        var tableAt = wide ? BinaryPrimitives.ReadUInt64LittleEndian(file[0x20..]) : BinaryPrimitives.ReadUInt32LittleEndian(file[0x1C..]);
        var entrySize = BinaryPrimitives.ReadUInt16LittleEndian(file[(wide ? 0x36 : 0x2A)..]);
        var count = BinaryPrimitives.ReadUInt16LittleEndian(file[(wide ? 0x38 : 0x2C)..]);
        if (entrySize < (wide ? 56 : 32))
            return false;
        for (var i = 0; i < Math.Min((int)count, MostHeaders); i++)
        {
            var at = tableAt + (ulong)i * entrySize;
            if (at > (ulong)file.Length || (ulong)file.Length - at < entrySize)
                return false;
            var header = file.Slice((int)at, entrySize);
            if (BinaryPrimitives.ReadUInt32LittleEndian(header) != PtNote)
                continue;
            offset = wide ? BinaryPrimitives.ReadUInt64LittleEndian(header[8..]) : BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
            length = wide ? BinaryPrimitives.ReadUInt64LittleEndian(header[32..]) : BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
            return offset <= CpuNoteFile.MaxSize && length <= CpuNoteFile.MaxSize;
        }
        return false;
    }

    private static CpuState ParseCpu(int index, ReadOnlySpan<byte> note) => new()
    {
        Index = index,
        Source = "QEMU's ELF note",
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
        Rip = General(note, 16),
        Rflags = General(note, 17),
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
        Cr0 = Control(note, 0),
        Cr2 = Control(note, 2),
        Cr3 = Control(note, 3),
        Cr4 = Control(note, 4),
        KernelGsBase = note.Length >= KernelGsOffset + 8 ? BinaryPrimitives.ReadUInt64LittleEndian(note[KernelGsOffset..]) : null,
    };

    private static ulong General(ReadOnlySpan<byte> note, int index) => BinaryPrimitives.ReadUInt64LittleEndian(note[(GeneralOffset + 8 * index)..]);

    private static ulong Control(ReadOnlySpan<byte> note, int index) => BinaryPrimitives.ReadUInt64LittleEndian(note[(ControlOffset + 8 * index)..]);

    // struct QEMUCPUSegment { u32 selector, limit, flags, pad; u64 base }.
    private static SegmentRegister Segment(ReadOnlySpan<byte> note, int index)
    {
        var at = note[(SegmentOffset + SegmentSize * index)..];
        return new SegmentRegister(
            (ushort)BinaryPrimitives.ReadUInt32LittleEndian(at),
            BinaryPrimitives.ReadUInt64LittleEndian(at[16..]),
            BinaryPrimitives.ReadUInt32LittleEndian(at[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(at[8..]));
    }

    private static DescriptorTableRegister Table(ReadOnlySpan<byte> note, int index)
    {
        var at = note[(SegmentOffset + SegmentSize * index)..];
        return new DescriptorTableRegister(BinaryPrimitives.ReadUInt64LittleEndian(at[16..]), BinaryPrimitives.ReadUInt32LittleEndian(at[4..]));
    }
}
