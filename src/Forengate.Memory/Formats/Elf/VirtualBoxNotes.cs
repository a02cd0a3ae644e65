using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// The notes of VirtualBox's cores: one that describes the core and one a CPU with all of its registers (VirtualBox, include/VBox/vmm/dbgfcorefmt.h and
/// VMM/VMMR3/DBGFCoreWrite.cpp). They carry no number: the order is the hypervisor's.
/// </summary>
internal static class VirtualBoxNotes
{
    private const uint Magic = 0xC01A_C0DE;

    /// <summary>The formats whose structure of a CPU is the one below; before it, fields were fewer.</summary>
    private const uint KnownFormat = 0x0001_0006;

    private const int DescriptorSize = 24;
    private const int FormatAt = 4;
    private const int VersionAt = 12;
    private const int RevisionAt = 16;

    private const int GeneralAt = 0;
    private const int SegmentsAt = 144;
    private const int SegmentSize = 24;
    private const int SegmentLimitAt = 8;
    private const int SegmentAttributesAt = 12;
    private const int SegmentSelectorAt = 16;
    private const int ControlAt = 288;
    private const int DebugAt = 320;
    private const int GdtrAt = 384;
    private const int IdtrAt = 400;
    private const int LdtrAt = 416;
    private const int TrAt = 440;
    private const int SysenterAt = 464;
    private const int MsrsAt = 488;
    private const int Xcr0At = 560;
    private const int ExtendedSizeAt = 576;
    private const int ExtendedAt = 584;

    /// <summary>Bytes before the state that XSAVE writes.</summary>
    private const int LeastSize = ExtendedAt;

    // XSAVE's area in its standard form (Intel SDM vol. 1, 13.4).
    private const int FxsaveSize = 512;
    private const int MxCsrAt = 24;
    private const int StAt = 32;
    private const int StSize = 8 * 16;
    private const int XmmAt = 160;
    private const int XmmSize = 16 * 16;
    private const int YmmAt = 576;
    private const ulong XcrAvx = 1UL << 2;

    public static bool IsDescriptor(in ElfNote note) => note.Name.SequenceEqual("VBCORE"u8);

    public static bool IsCpu(in ElfNote note) => note.Name.SequenceEqual("VBCPU"u8);

    /// <summary>VirtualBox's version and revision, and whether its CPUs have the structure we know; false where the note is none of VirtualBox's.</summary>
    public static bool TryReadDescriptor(ReadOnlySpan<byte> note, out string version, out bool known)
    {
        (version, known) = ("", false);
        if (note.Length < DescriptorSize || BinaryPrimitives.ReadUInt32LittleEndian(note) != Magic)
            return false;
        // VBOX_FULL_VERSION: major in the highest byte, minor in the next, build below.
        var full = BinaryPrimitives.ReadUInt32LittleEndian(note[VersionAt..]);
        version = $"{full >> 24}.{full >> 16 & 0xFF}.{full & 0xFFFF} r{BinaryPrimitives.ReadUInt32LittleEndian(note[RevisionAt..])}";
        known = BinaryPrimitives.ReadUInt32LittleEndian(note[FormatAt..]) == KnownFormat;
        return true;
    }

    /// <summary>Reads the registers of a CPU; null when the note is cut short.</summary>
    public static CpuState? ParseCpu(ReadOnlySpan<byte> note, int index)
    {
        if (note.Length < LeastSize)
            return null;
        var cpu = new CpuState
        {
            Index = index,
            Source = "ELF note (VirtualBox)",
            Rax = Qword(note, GeneralAt),
            Rbx = Qword(note, GeneralAt + 8),
            Rcx = Qword(note, GeneralAt + 16),
            Rdx = Qword(note, GeneralAt + 24),
            Rsi = Qword(note, GeneralAt + 32),
            Rdi = Qword(note, GeneralAt + 40),
            R8 = Qword(note, GeneralAt + 48),
            R9 = Qword(note, GeneralAt + 56),
            R10 = Qword(note, GeneralAt + 64),
            R11 = Qword(note, GeneralAt + 72),
            R12 = Qword(note, GeneralAt + 80),
            R13 = Qword(note, GeneralAt + 88),
            R14 = Qword(note, GeneralAt + 96),
            R15 = Qword(note, GeneralAt + 104),
            Rip = Qword(note, GeneralAt + 112),
            Rsp = Qword(note, GeneralAt + 120),
            Rbp = Qword(note, GeneralAt + 128),
            Rflags = Qword(note, GeneralAt + 136),
            Cs = Segment(note, SegmentsAt),
            Ds = Segment(note, SegmentsAt + SegmentSize),
            Es = Segment(note, SegmentsAt + (2 * SegmentSize)),
            Fs = Segment(note, SegmentsAt + (3 * SegmentSize)),
            Gs = Segment(note, SegmentsAt + (4 * SegmentSize)),
            Ss = Segment(note, SegmentsAt + (5 * SegmentSize)),
            Cr0 = Qword(note, ControlAt),
            Cr2 = Qword(note, ControlAt + 8),
            Cr3 = Qword(note, ControlAt + 16),
            Cr4 = Qword(note, ControlAt + 24),
            Dr0 = Qword(note, DebugAt),
            Dr1 = Qword(note, DebugAt + 8),
            Dr2 = Qword(note, DebugAt + 16),
            Dr3 = Qword(note, DebugAt + 24),
            Dr6 = Qword(note, DebugAt + 48),
            Dr7 = Qword(note, DebugAt + 56),
            Gdtr = Table(note, GdtrAt),
            Idtr = Table(note, IdtrAt),
            Ldtr = Segment(note, LdtrAt),
            Tr = Segment(note, TrAt),
            SysenterCs = Qword(note, SysenterAt),
            SysenterEip = Qword(note, SysenterAt + 8),
            SysenterEsp = Qword(note, SysenterAt + 16),
            Efer = Qword(note, MsrsAt),
            Star = Qword(note, MsrsAt + 8),
            Pat = Qword(note, MsrsAt + 16),
            LStar = Qword(note, MsrsAt + 24),
            CStar = Qword(note, MsrsAt + 32),
            SfMask = Qword(note, MsrsAt + 40),
            KernelGsBase = Qword(note, MsrsAt + 48),
            ApicBase = Qword(note, MsrsAt + 56),
            TscAux = Qword(note, MsrsAt + 64),
            Xcr0 = Qword(note, Xcr0At),
        };
        var extended = note[ExtendedAt..];
        var size = Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(note[ExtendedSizeAt..]), (uint)extended.Length);
        return size < FxsaveSize ? cpu : WithVectors(cpu, extended[..(int)size]);
    }

    private static CpuState WithVectors(CpuState cpu, ReadOnlySpan<byte> area) => cpu with
    {
        Fcw = BinaryPrimitives.ReadUInt16LittleEndian(area),
        Fsw = BinaryPrimitives.ReadUInt16LittleEndian(area[2..]),
        Ftw = area[4],
        MxCsr = BinaryPrimitives.ReadUInt32LittleEndian(area[MxCsrAt..]),
        St = area.Slice(StAt, StSize).ToArray(),
        Xmm = area.Slice(XmmAt, XmmSize).ToArray(),
        YmmHigh = (cpu.Xcr0 & XcrAvx) != 0 && area.Length >= YmmAt + XmmSize ? area.Slice(YmmAt, XmmSize).ToArray() : default(ReadOnlyMemory<byte>?),
    };

    private static ulong Qword(ReadOnlySpan<byte> note, int at) => BinaryPrimitives.ReadUInt64LittleEndian(note[at..]);

    /// <summary>VirtualBox keeps attributes as VT-x does: the descriptor's bits 40 to 47 and 52 to 55 in bits 0 to 7 and 12 to 15.</summary>
    private static SegmentRegister Segment(ReadOnlySpan<byte> note, int at) => new(
        BinaryPrimitives.ReadUInt16LittleEndian(note[(at + SegmentSelectorAt)..]),
        Qword(note, at),
        BinaryPrimitives.ReadUInt32LittleEndian(note[(at + SegmentLimitAt)..]),
        (BinaryPrimitives.ReadUInt32LittleEndian(note[(at + SegmentAttributesAt)..]) & 0xF0FF) << 8);

    private static DescriptorTableRegister Table(ReadOnlySpan<byte> note, int at) => new(Qword(note, at), BinaryPrimitives.ReadUInt32LittleEndian(note[(at + 8)..]));
}
