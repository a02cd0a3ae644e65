namespace Forengate.Memory;

/// <summary>
/// The registers of one vCPU as one full record. Every field may be unknown (null): sources differ in what they carry, and an unknown
/// register is never passed off as zero.
/// </summary>
public sealed record CpuState
{
    /// <summary>The hypervisor's number of this vCPU. Not the Windows processor number.</summary>
    public required int Index { get; init; }

    /// <summary>Which source gave the registers, for people ("ELF note", "HMP info registers").</summary>
    public string? Source { get; init; }

    // General registers.
    public ulong? Rax { get; init; }
    public ulong? Rbx { get; init; }
    public ulong? Rcx { get; init; }
    public ulong? Rdx { get; init; }
    public ulong? Rsi { get; init; }
    public ulong? Rdi { get; init; }
    public ulong? Rsp { get; init; }
    public ulong? Rbp { get; init; }
    public ulong? R8 { get; init; }
    public ulong? R9 { get; init; }
    public ulong? R10 { get; init; }
    public ulong? R11 { get; init; }
    public ulong? R12 { get; init; }
    public ulong? R13 { get; init; }
    public ulong? R14 { get; init; }
    public ulong? R15 { get; init; }
    public ulong? Rip { get; init; }
    public ulong? Rflags { get; init; }

    // Segments (FS and GS base included) and system segments.
    public SegmentRegister? Cs { get; init; }
    public SegmentRegister? Ds { get; init; }
    public SegmentRegister? Es { get; init; }
    public SegmentRegister? Fs { get; init; }
    public SegmentRegister? Gs { get; init; }
    public SegmentRegister? Ss { get; init; }
    public SegmentRegister? Ldtr { get; init; }
    public SegmentRegister? Tr { get; init; }
    public DescriptorTableRegister? Gdtr { get; init; }
    public DescriptorTableRegister? Idtr { get; init; }

    // Control and debug registers.
    public ulong? Cr0 { get; init; }
    public ulong? Cr2 { get; init; }
    /// <summary>As loaded: bits 0 to 11 may carry a PCID.</summary>
    public ulong? Cr3 { get; init; }
    public ulong? Cr4 { get; init; }
    public ulong? Cr8 { get; init; }
    public ulong? Xcr0 { get; init; }
    public ulong? Dr0 { get; init; }
    public ulong? Dr1 { get; init; }
    public ulong? Dr2 { get; init; }
    public ulong? Dr3 { get; init; }
    public ulong? Dr6 { get; init; }
    public ulong? Dr7 { get; init; }

    // Model-specific registers.
    public ulong? Efer { get; init; }
    public ulong? Star { get; init; }
    public ulong? LStar { get; init; }
    public ulong? CStar { get; init; }
    public ulong? SfMask { get; init; }
    /// <summary>IA32_KERNEL_GS_BASE: what SWAPGS would load.</summary>
    public ulong? KernelGsBase { get; init; }
    public ulong? Pat { get; init; }
    public ulong? ApicBase { get; init; }
    public ulong? SysenterCs { get; init; }
    public ulong? SysenterEsp { get; init; }
    public ulong? SysenterEip { get; init; }
    public ulong? Tsc { get; init; }
    public ulong? TscAux { get; init; }
    public ulong? DebugCtl { get; init; }

    // Floating point and vectors.
    public ushort? Fcw { get; init; }
    public ushort? Fsw { get; init; }
    /// <summary>Tag word in the abridged form of FXSAVE: one bit a register, 1 = valid.</summary>
    public byte? Ftw { get; init; }
    public uint? MxCsr { get; init; }
    /// <summary>ST0 to ST7 as FXSAVE stores them: 8 × 16 bytes.</summary>
    public ReadOnlyMemory<byte>? St { get; init; }
    /// <summary>XMM0 to XMM15: 16 × 16 bytes.</summary>
    public ReadOnlyMemory<byte>? Xmm { get; init; }
    /// <summary>Upper halves of YMM0 to YMM15: 16 × 16 bytes.</summary>
    public ReadOnlyMemory<byte>? YmmHigh { get; init; }

    /// <summary>
    /// True when long mode is active and 64-bit code may run; null where nothing known tells. EFER says it; without EFER, paging switched off means no, a 64-bit code segment yes
    /// (Intel SDM vol. 3A, 3.4.5: its L bit may be set only in IA-32e mode).
    /// </summary>
    public bool? IsLongMode
    {
        get
        {
            if (Efer is { } efer)
                return (efer & EferLma) != 0;
            if (Cr0 is { } cr0 && (cr0 & Cr0Paging) == 0)
                return false;
            return Cr4 is { } cr4 && (cr4 & Cr4Pae) == 0 ? false : Cs?.Attributes is { } attributes && (attributes & SegmentLong) != 0 ? true : null;
        }
    }

    /// <summary>Privilege level the CPU runs at, 0 to 3; null where CS is unknown.</summary>
    public int? Cpl => Cs is { } cs ? cs.Selector & 3 : null;

    /// <summary>
    /// Levels of the page tables the CPU walks: 4 or 5 (CR4.LA57) in long mode, 3 with PAE, 2 with 32-bit paging; null where CR4 is unknown or paging is off. Where nothing tells
    /// whether long mode is active, CR4.PAE is taken for it.
    /// </summary>
    public int? PagingLevels => Cr4 is not { } cr4 || (Cr0 & Cr0Paging) == 0
        ? null
        : (cr4 & Cr4Pae) == 0 ? 2 : IsLongMode == false ? 3 : (cr4 & Cr4La57) != 0 ? 5 : 4;

    private const ulong EferLma = 1UL << 10;
    private const ulong Cr0Paging = 1UL << 31;
    private const ulong Cr4Pae = 1UL << 5;
    private const ulong Cr4La57 = 1UL << 12;
    private const uint SegmentLong = 1U << 21;
}
