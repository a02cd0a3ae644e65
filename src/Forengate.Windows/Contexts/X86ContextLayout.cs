namespace Forengate.Windows;

/// <summary>
/// Offsets in the x86 <c>CONTEXT</c>, in bytes. Source: <c>winnt.h</c> of the Windows SDK; the same in the public type tables of all 21 x86 kernels at hand, 2600 to 19045.
/// </summary>
public static class X86ContextLayout
{
    public const int Size = 0x2CC;

    public const int ContextFlags = 0x00;
    public const int Dr0 = 0x04;
    public const int Dr1 = 0x08;
    public const int Dr2 = 0x0C;
    public const int Dr3 = 0x10;
    public const int Dr6 = 0x14;
    public const int Dr7 = 0x18;
    public const int SegGs = 0x8C;
    public const int SegFs = 0x90;
    public const int SegEs = 0x94;
    public const int SegDs = 0x98;
    public const int Edi = 0x9C;
    public const int Esi = 0xA0;
    public const int Ebx = 0xA4;
    public const int Edx = 0xA8;
    public const int Ecx = 0xAC;
    public const int Eax = 0xB0;
    public const int Ebp = 0xB4;
    public const int Eip = 0xB8;
    public const int SegCs = 0xBC;
    public const int EFlags = 0xC0;
    public const int Esp = 0xC4;
    public const int SegSs = 0xC8;

    /// <summary>ExtendedRegisters: the CPU's FXSAVE area (Intel SDM vol. 1, 10.5.1).</summary>
    public const int Extended = 0xCC;
    public const int ControlWord = Extended + 0x00;
    public const int StatusWord = Extended + 0x02;
    public const int TagWord = Extended + 0x04;
    public const int MxCsr = Extended + 0x18;
    public const int FloatRegisters = Extended + 0x20;
    public const int FloatRegistersSize = 8 * 16;
}

/// <summary>CONTEXT.ContextFlags (<c>winnt.h</c>): which groups of an x86 context are valid.</summary>
[Flags]
public enum X86ContextFlags : uint
{
    None = 0,
    X86 = 0x1_0000,
    /// <summary>SegSs, Esp, SegCs, Eip, EFlags, Ebp.</summary>
    Control = X86 | 0x1,
    /// <summary>Edi, Esi, Ebx, Edx, Ecx, Eax.</summary>
    Integer = X86 | 0x2,
    /// <summary>SegDs, SegEs, SegFs, SegGs.</summary>
    Segments = X86 | 0x4,
    /// <summary>FloatSave, as FNSAVE stores it.</summary>
    FloatingPoint = X86 | 0x8,
    DebugRegisters = X86 | 0x10,
    /// <summary>ExtendedRegisters.</summary>
    Extended = X86 | 0x20,
}

/// <summary>
/// Offsets in <c>KSPECIAL_REGISTERS</c> of x86, in bytes: 0x54 long and the same in the public type tables of all 21 x86 kernels at hand, 2600 to 19045.
/// </summary>
public static class X86SpecialRegistersLayout
{
    public const int Size = 0x54;

    public const int Cr0 = 0x00;
    public const int Cr2 = 0x04;
    public const int Cr3 = 0x08;
    public const int Cr4 = 0x0C;
    public const int KernelDr0 = 0x10;
    public const int KernelDr1 = 0x14;
    public const int KernelDr2 = 0x18;
    public const int KernelDr3 = 0x1C;
    public const int KernelDr6 = 0x20;
    public const int KernelDr7 = 0x24;
    /// <summary>DESCRIPTOR: two bytes of padding, then Limit (16 bits) and Base (32 bits).</summary>
    public const int GdtrLimit = 0x2A;
    public const int IdtrLimit = 0x32;
    public const int Tr = 0x38;
    public const int Ldtr = 0x3A;
}
