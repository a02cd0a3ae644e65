namespace Forengate.Windows;

/// <summary>
/// Offsets in <c>KSPECIAL_REGISTERS</c> of AMD64, in bytes: what a debugger reads through its "control space". It is part of the debugger's protocol, so it has only ever
/// grown at its end; the same in the public type tables of all x64 kernels from 7601 to 22000 as far as each goes.
/// </summary>
public static class SpecialRegistersLayout
{
    /// <summary>What every build has.</summary>
    public const int MinSize = 0xD8;

    public const int Cr0 = 0x00;
    public const int Cr2 = 0x08;
    public const int Cr3 = 0x10;
    public const int Cr4 = 0x18;
    public const int KernelDr0 = 0x20;
    public const int KernelDr1 = 0x28;
    public const int KernelDr2 = 0x30;
    public const int KernelDr3 = 0x38;
    public const int KernelDr6 = 0x40;
    public const int KernelDr7 = 0x48;
    /// <summary>KDESCRIPTOR: six bytes of padding, then Limit (16 bits) and Base (64 bits).</summary>
    public const int GdtrLimit = 0x56;
    public const int GdtrBase = 0x58;
    public const int IdtrLimit = 0x66;
    public const int IdtrBase = 0x68;
    public const int Tr = 0x70;
    public const int Ldtr = 0x72;
    public const int MxCsr = 0x74;
    public const int DebugControl = 0x78;
    public const int Cr8 = 0xA0;
    public const int MsrGsBase = 0xA8;
    public const int MsrGsSwap = 0xB0;
    public const int MsrStar = 0xB8;
    public const int MsrLStar = 0xC0;
    public const int MsrCStar = 0xC8;
    public const int MsrSyscallMask = 0xD0;
    /// <summary>From 9600 on.</summary>
    public const int Xcr0 = 0xD8;
    /// <summary>From 17763 on.</summary>
    public const int MsrFsBase = 0xE0;
}
