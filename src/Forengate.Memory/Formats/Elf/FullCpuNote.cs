using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// Our own note of one CPU, name "FORENGATE", type 2: every register of a <see cref="CpuState"/> and which of them are known. docs/formats/elf-core.md has the layout. A later version
/// may only append: readers take the fields they know of a longer note.
/// </summary>
internal static class FullCpuNote
{
    public const uint NoteType = 2;

    public const int Size = YmmHighAt + YmmHighSize;

    private const uint Version = 1;
    private const int SizeAt = 4;
    private const int IndexAt = 8;

    /// <summary>u64: bit i is set where register i is known; St, Xmm and YmmHigh have the bits from <see cref="StBit"/> on.</summary>
    private const int KnownAt = 16;

    /// <summary>u64: four bits a segment (there at all, base, limit, attributes), then one each for GDTR and IDTR.</summary>
    private const int KnownSegmentsAt = 24;

    private const int RegistersAt = 32;
    private const int RegisterSlots = 64;
    private const int SegmentsAt = RegistersAt + (RegisterSlots * sizeof(ulong));
    private const int SegmentCount = 8;
    private const int TableCount = 2;
    private const int SegmentSize = 24;
    private const int SegmentLimitAt = 4;
    private const int SegmentAttributesAt = 8;
    private const int SegmentBaseAt = 16;
    private const int StAt = SegmentsAt + ((SegmentCount + TableCount) * SegmentSize);
    private const int StSize = 8 * 16;
    private const int XmmAt = StAt + StSize;
    private const int XmmSize = 16 * 16;
    private const int YmmHighAt = XmmAt + XmmSize;
    private const int YmmHighSize = 16 * 16;

    private const int StBit = 61;
    private const int XmmBit = 62;
    private const int YmmHighBit = 63;

    private const int BitsPerSegment = 4;
    private const int HasSegment = 0, HasBase = 1, HasLimit = 2, HasAttributes = 3;
    private const int TableBit = SegmentCount * BitsPerSegment;

    public static ReadOnlySpan<byte> NoteName => "FORENGATE"u8;

    public static bool Is(in ElfNote note) => note.Type == NoteType && note.Name.SequenceEqual(NoteName);

    /// <summary>Fills a note of <see cref="Size"/> bytes that are zeros.</summary>
    public static void Write(CpuState cpu, Span<byte> note)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(note, Version);
        BinaryPrimitives.WriteInt32LittleEndian(note[SizeAt..], Size);
        BinaryPrimitives.WriteInt32LittleEndian(note[IndexAt..], cpu.Index);

        var known = 0UL;
        var registers = Registers(cpu);
        for (var i = 0; i < registers.Length; i++)
        {
            if (registers[i] is not { } value)
                continue;
            known |= 1UL << i;
            BinaryPrimitives.WriteUInt64LittleEndian(note[(RegistersAt + (i * sizeof(ulong)))..], value);
        }
        known |= Put(cpu.St, note.Slice(StAt, StSize), StBit);
        known |= Put(cpu.Xmm, note.Slice(XmmAt, XmmSize), XmmBit);
        known |= Put(cpu.YmmHigh, note.Slice(YmmHighAt, YmmHighSize), YmmHighBit);
        BinaryPrimitives.WriteUInt64LittleEndian(note[KnownAt..], known);

        known = 0;
        SegmentRegister?[] segments = [cpu.Cs, cpu.Ds, cpu.Es, cpu.Fs, cpu.Gs, cpu.Ss, cpu.Ldtr, cpu.Tr];
        for (var i = 0; i < segments.Length; i++)
            known |= Put(segments[i], note.Slice(SegmentsAt + (i * SegmentSize), SegmentSize)) << (i * BitsPerSegment);
        known |= Put(cpu.Gdtr, note.Slice(SegmentsAt + (SegmentCount * SegmentSize), SegmentSize)) << TableBit;
        known |= Put(cpu.Idtr, note.Slice(SegmentsAt + ((SegmentCount + 1) * SegmentSize), SegmentSize)) << (TableBit + 1);
        BinaryPrimitives.WriteUInt64LittleEndian(note[KnownSegmentsAt..], known);
    }

    /// <summary>Reads the note's description; null when it is cut short or of another version.</summary>
    public static CpuState? Parse(ReadOnlySpan<byte> note)
    {
        if (note.Length < Size || BinaryPrimitives.ReadUInt32LittleEndian(note) != Version || BinaryPrimitives.ReadUInt32LittleEndian(note[SizeAt..]) < Size)
            return null;
        var index = BinaryPrimitives.ReadInt32LittleEndian(note[IndexAt..]);
        if (index < 0)
            return null;
        var r = new ulong?[RegisterSlots];
        var known = BinaryPrimitives.ReadUInt64LittleEndian(note[KnownAt..]);
        for (var i = 0; i < StBit; i++)
        {
            if ((known >> i & 1) != 0)
                r[i] = BinaryPrimitives.ReadUInt64LittleEndian(note[(RegistersAt + (i * sizeof(ulong)))..]);
        }
        var segments = BinaryPrimitives.ReadUInt64LittleEndian(note[KnownSegmentsAt..]);
        return new CpuState
        {
            Index = index,
            Source = "ELF note (Forengate)",
            Rax = r[0], Rbx = r[1], Rcx = r[2], Rdx = r[3], Rsi = r[4], Rdi = r[5], Rsp = r[6], Rbp = r[7],
            R8 = r[8], R9 = r[9], R10 = r[10], R11 = r[11], R12 = r[12], R13 = r[13], R14 = r[14], R15 = r[15],
            Rip = r[16], Rflags = r[17],
            Cr0 = r[18], Cr2 = r[19], Cr3 = r[20], Cr4 = r[21], Cr8 = r[22], Xcr0 = r[23],
            Dr0 = r[24], Dr1 = r[25], Dr2 = r[26], Dr3 = r[27], Dr6 = r[28], Dr7 = r[29],
            Efer = r[30], Star = r[31], LStar = r[32], CStar = r[33], SfMask = r[34], KernelGsBase = r[35], Pat = r[36], ApicBase = r[37],
            SysenterCs = r[38], SysenterEsp = r[39], SysenterEip = r[40], Tsc = r[41], TscAux = r[42], DebugCtl = r[43],
            Fcw = (ushort?)r[44], Fsw = (ushort?)r[45], Ftw = (byte?)r[46], MxCsr = (uint?)r[47],
            St = Bytes(note.Slice(StAt, StSize), known, StBit),
            Xmm = Bytes(note.Slice(XmmAt, XmmSize), known, XmmBit),
            YmmHigh = Bytes(note.Slice(YmmHighAt, YmmHighSize), known, YmmHighBit),
            Cs = Segment(note, segments, 0), Ds = Segment(note, segments, 1), Es = Segment(note, segments, 2), Fs = Segment(note, segments, 3),
            Gs = Segment(note, segments, 4), Ss = Segment(note, segments, 5), Ldtr = Segment(note, segments, 6), Tr = Segment(note, segments, 7),
            Gdtr = Table(note, segments, 0), Idtr = Table(note, segments, 1),
        };
    }

    /// <summary>The registers in the order of their slots.</summary>
    private static ulong?[] Registers(CpuState cpu) =>
    [
        cpu.Rax, cpu.Rbx, cpu.Rcx, cpu.Rdx, cpu.Rsi, cpu.Rdi, cpu.Rsp, cpu.Rbp,
        cpu.R8, cpu.R9, cpu.R10, cpu.R11, cpu.R12, cpu.R13, cpu.R14, cpu.R15,
        cpu.Rip, cpu.Rflags,
        cpu.Cr0, cpu.Cr2, cpu.Cr3, cpu.Cr4, cpu.Cr8, cpu.Xcr0,
        cpu.Dr0, cpu.Dr1, cpu.Dr2, cpu.Dr3, cpu.Dr6, cpu.Dr7,
        cpu.Efer, cpu.Star, cpu.LStar, cpu.CStar, cpu.SfMask, cpu.KernelGsBase, cpu.Pat, cpu.ApicBase,
        cpu.SysenterCs, cpu.SysenterEsp, cpu.SysenterEip, cpu.Tsc, cpu.TscAux, cpu.DebugCtl,
        cpu.Fcw, cpu.Fsw, cpu.Ftw, cpu.MxCsr,
    ];

    private static ulong Put(ReadOnlyMemory<byte>? bytes, Span<byte> slot, int bit)
    {
        if (bytes is not { } known || known.Length != slot.Length)
            return 0;
        known.Span.CopyTo(slot);
        return 1UL << bit;
    }

    private static ulong Put(SegmentRegister? register, Span<byte> slot)
    {
        if (register is not { } segment)
            return 0;
        BinaryPrimitives.WriteUInt32LittleEndian(slot, segment.Selector);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[SegmentLimitAt..], segment.Limit ?? 0);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[SegmentAttributesAt..], segment.Attributes ?? 0);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[SegmentBaseAt..], segment.Base ?? 0);
        return 1UL << HasSegment | (segment.Base is null ? 0 : 1UL << HasBase) | (segment.Limit is null ? 0 : 1UL << HasLimit)
            | (segment.Attributes is null ? 0 : 1UL << HasAttributes);
    }

    private static ulong Put(DescriptorTableRegister? register, Span<byte> slot)
    {
        if (register is not { } table)
            return 0;
        BinaryPrimitives.WriteUInt32LittleEndian(slot[SegmentLimitAt..], table.Limit);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[SegmentBaseAt..], table.Base);
        return 1;
    }

    private static ReadOnlyMemory<byte>? Bytes(ReadOnlySpan<byte> slot, ulong known, int bit) => (known >> bit & 1) != 0 ? slot.ToArray() : default(ReadOnlyMemory<byte>?);

    private static SegmentRegister? Segment(ReadOnlySpan<byte> note, ulong known, int index)
    {
        var bits = known >> (index * BitsPerSegment);
        if ((bits >> HasSegment & 1) == 0)
            return null;
        var slot = note.Slice(SegmentsAt + (index * SegmentSize), SegmentSize);
        return new SegmentRegister(
            (ushort)BinaryPrimitives.ReadUInt32LittleEndian(slot),
            (bits >> HasBase & 1) != 0 ? BinaryPrimitives.ReadUInt64LittleEndian(slot[SegmentBaseAt..]) : null,
            (bits >> HasLimit & 1) != 0 ? BinaryPrimitives.ReadUInt32LittleEndian(slot[SegmentLimitAt..]) : null,
            (bits >> HasAttributes & 1) != 0 ? BinaryPrimitives.ReadUInt32LittleEndian(slot[SegmentAttributesAt..]) : null);
    }

    private static DescriptorTableRegister? Table(ReadOnlySpan<byte> note, ulong known, int index)
    {
        if ((known >> (TableBit + index) & 1) == 0)
            return null;
        var slot = note.Slice(SegmentsAt + ((SegmentCount + index) * SegmentSize), SegmentSize);
        return new DescriptorTableRegister(BinaryPrimitives.ReadUInt64LittleEndian(slot[SegmentBaseAt..]), BinaryPrimitives.ReadUInt32LittleEndian(slot[SegmentLimitAt..]));
    }
}
