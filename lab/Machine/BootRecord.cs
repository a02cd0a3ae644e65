using System.Buffers.Binary;

namespace Forengate.Lab.Machine;

/// <summary>What the boot ROM knows of one CPU: a <see cref="CpuStart"/> in the form the ROM's code reads. Offsets are ours, nobody else reads it.</summary>
internal static class BootRecord
{
    public const int SizeShift = 9;
    public const int Size = 1 << SizeShift;

    public const int Efer = 0x00, Cr0 = 0x08, Cr3 = 0x10, Cr4 = 0x18, Cr8 = 0x20;
    /// <summary>Limit and base, as LGDT and LIDT take them.</summary>
    public const int Gdt = 0x28, Idt = 0x38;
    public const int Tr = 0x48, Ldt = 0x4A, Ds = 0x4C, Es = 0x4E, Fs = 0x50, Gs = 0x52, Ring0Ss = 0x54;
    public const int MxCsr = 0x58, Xcr0 = 0x5C;
    /// <summary>u32 offset, u16 selector: loads the ring-0 code selector while still in the ROM.</summary>
    public const int Ring0Far = 0x60;
    public const int Rip = 0x68, Rsp = 0x70, Ring0Rflags = 0x78, Rcx = 0x80, R11 = 0x88, Leave = 0x90;
    public const int R12 = 0x98;
    public const int Xmm6 = 0xC0;
    /// <summary>Entries of u32 number, u32 zero, u64 value.</summary>
    public const int Msrs = 0x100, MsrSize = 16, MsrCount = 7;

    // Intel SDM volume 4, table 2-2.
    private const uint Star = 0xC0000081, LStar = 0xC0000082, CStar = 0xC0000083, SfMask = 0xC0000084, FsBase = 0xC0000100, GsBase = 0xC0000101,
        KernelGsBase = 0xC0000102;

    private const ulong Cr4OsXSave = 1UL << 18, Cr4Pcide = 1UL << 17, CanNotFlush = 1UL << 63;
    private const uint X87SseAvx = 7;
    private const ulong AlwaysOne = 2;

    public static void Write(Span<byte> record, CpuStart cpu, GuestCodeImage code, ulong reloaded)
    {
        var user = cpu.Mode == CpuMode.User;
        var ring0Cs = (ushort)(cpu.Star >> 32 & 0xFFFC);
        U64(record, Efer, cpu.Efer);
        U64(record, Cr0, cpu.Cr0);
        U64(record, Cr3, cpu.Cr3 & ~CanNotFlush);
        // TCG knows no PCID in the QEMU we support; without the bit, PCIDs in CR3 are just low bits that nobody looks at.
        U64(record, Cr4, cpu.Cr4 & ~Cr4Pcide);
        U64(record, Cr8, cpu.Cr8);
        U16(record, Gdt, cpu.GdtLimit);
        U64(record, Gdt + 2, cpu.GdtBase);
        U16(record, Idt, cpu.IdtLimit);
        U64(record, Idt + 2, cpu.IdtBase);
        U16(record, Tr, cpu.TrSelector);
        U16(record, Ldt, cpu.LdtSelector);
        U16(record, Ds, cpu.Ds);
        U16(record, Es, cpu.Es);
        U16(record, Fs, cpu.Fs);
        U16(record, Gs, cpu.Gs);
        U16(record, Ring0Ss, user ? (ushort)(ring0Cs + 8) : cpu.Ss);
        U32(record, MxCsr, cpu.MxCsr);
        U32(record, Xcr0, (cpu.Cr4 & Cr4OsXSave) != 0 ? X87SseAvx : 0);
        U32(record, Ring0Far, (uint)reloaded);
        U16(record, Ring0Far + 4, user ? ring0Cs : cpu.Cs);
        U64(record, Rip, cpu.Rip);
        U64(record, Rsp, cpu.Rsp);
        U64(record, Ring0Rflags, user ? AlwaysOne : cpu.Rflags | AlwaysOne);
        // SYSRET returns to RCX with the flags in R11; a CPU just behind the system-call entry has them from SYSCALL.
        const ulong userFlags = 0x246;
        U64(record, Rcx, user ? cpu.Rip : code.UserModeStart);
        U64(record, R11, user ? cpu.Rflags | AlwaysOne : userFlags);
        U64(record, Leave, cpu.Leave != 0 ? cpu.Leave : user ? code.LeaveForRing3 : code.LeaveForRing0);
        U64(record, R12, cpu.R12);
        U64(record, R12 + 8, cpu.R13);
        U64(record, R12 + 16, cpu.R14);
        U64(record, R12 + 24, cpu.R15);
        cpu.Xmm6To9?.CopyTo(record[Xmm6..]);
        var at = Msrs;
        foreach (var (number, value) in new[]
            {
                (Star, cpu.Star), (LStar, cpu.LStar), (CStar, cpu.CStar), (SfMask, cpu.SfMask), (FsBase, cpu.FsBase), (GsBase, cpu.GsBase),
                (KernelGsBase, cpu.KernelGsBase),
            })
        {
            U32(record, at, number);
            U64(record, at + 8, value);
            at += MsrSize;
        }
    }

    private static void U16(Span<byte> record, int offset, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(record[offset..], value);
    private static void U32(Span<byte> record, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(record[offset..], value);
    private static void U64(Span<byte> record, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(record[offset..], value);
}
