namespace Forengate.Windows;

/// <summary>
/// Offsets in the AMD64 <c>CONTEXT</c>, in bytes. Source: <c>winnt.h</c> of the Windows SDK; the same in the public type tables of all x64 kernels from 7601 to 22000.
/// </summary>
public static class Amd64ContextLayout
{
    public const int Size = 0x4D0;

    public const int ContextFlags = 0x30;
    public const int MxCsr = 0x34;
    public const int SegCs = 0x38;
    public const int SegDs = 0x3A;
    public const int SegEs = 0x3C;
    public const int SegFs = 0x3E;
    public const int SegGs = 0x40;
    public const int SegSs = 0x42;
    public const int EFlags = 0x44;
    public const int Dr0 = 0x48;
    public const int Dr1 = 0x50;
    public const int Dr2 = 0x58;
    public const int Dr3 = 0x60;
    public const int Dr6 = 0x68;
    public const int Dr7 = 0x70;
    public const int Rax = 0x78;
    public const int Rcx = 0x80;
    public const int Rdx = 0x88;
    public const int Rbx = 0x90;
    public const int Rsp = 0x98;
    public const int Rbp = 0xA0;
    public const int Rsi = 0xA8;
    public const int Rdi = 0xB0;
    /// <summary>R8 to R15 follow each other.</summary>
    public const int R8 = 0xB8;
    public const int Rip = 0xF8;

    /// <summary>XSAVE_FORMAT, laid out as the CPU's FXSAVE area (Intel SDM vol. 1, 10.5.1).</summary>
    public const int FltSave = 0x100;
    public const int FltControlWord = FltSave + 0x00;
    public const int FltStatusWord = FltSave + 0x02;
    public const int FltTagWord = FltSave + 0x04;
    public const int FltMxCsr = FltSave + 0x18;
    public const int FltMxCsrMask = FltSave + 0x1C;
    public const int FltRegisters = FltSave + 0x20;
    public const int FltXmm = FltSave + 0xA0;
    public const int FltRegistersSize = 8 * 16;
    public const int FltXmmSize = 16 * 16;
}

/// <summary>CONTEXT.ContextFlags (<c>winnt.h</c>): which groups of a context are valid.</summary>
[Flags]
public enum Amd64ContextFlags : uint
{
    None = 0,
    Amd64 = 0x10_0000,
    /// <summary>SegSs, Rsp, SegCs, Rip, EFlags.</summary>
    Control = Amd64 | 0x1,
    /// <summary>Rax, Rcx, Rdx, Rbx, Rbp, Rsi, Rdi, R8 to R15.</summary>
    Integer = Amd64 | 0x2,
    /// <summary>SegDs, SegEs, SegFs, SegGs.</summary>
    Segments = Amd64 | 0x4,
    /// <summary>FltSave, MxCsr.</summary>
    FloatingPoint = Amd64 | 0x8,
    /// <summary>Dr0 to Dr3, Dr6, Dr7.</summary>
    DebugRegisters = Amd64 | 0x10,
}
