namespace Forengate.Memory.Tests.Qemu;

/// <summary>
/// <see cref="LongModeStub"/> that goes on: it loads the MSRs of system calls, TSC_AUX, PAT, CR8, XCR0, debug registers, three x87 registers, MXCSR and YMM0 to YMM15 with known values
/// before it halts. Each CPU's boot processor only.
/// </summary>
internal static class RegisterStub
{
    public const ulong Star = 0x0023_0010_1112_1314;
    public const ulong LStar = 0xFFFF_F803_2A2B_2C2D;
    public const ulong CStar = 0xFFFF_F803_3A3B_3C3D;
    public const ulong SfMask = 0x4700;
    public const ulong TscAux = 0xAA;
    public const ulong SysenterCs = 0x10;
    public const ulong SysenterEsp = 0xFFFF_F804_4A4B_4C4D;
    public const ulong SysenterEip = 0xFFFF_F804_5A5B_5C5D;
    public const ulong Pat = 0x0007_0106_0007_0106;
    public const ulong Cr8 = 9;
    public const ulong Xcr0 = 7;

    /// <summary>cli; CR4.OSFXSR, OSXMMEXCPT, OSXSAVE; CR0.MP, not EM, TS; xsetbv; wrmsr each; cr8; dr0–3, dr7; fninit, fldpi, fldl2e, fld1; ldmxcsr; fldcw; vmovups; hlt. Its data behind it.</summary>
    private const string CodeHex =
        "fa0f20e0480d000604000f22e00f20c04883e0f34883c8020f22c031c931d2b8070000000f01d1b9810000c0b814131211ba100023000f30b9820000"
        + "c0b82d2c2b2aba03f8ffff0f30b9830000c0b83d3c3b3aba03f8ffff0f30b9840000c0b800470000ba000000000f30b9030100c0b8aa000000ba0000"
        + "00000f30b974010000b810000000ba000000000f30b975010000b84d4c4b4aba04f8ffff0f30b976010000b85d5c5b5aba04f8ffff0f30b977020000"
        + "b806010700ba060107000f30b809000000440f22c048b80000111100f8ffff0f23c048b80000222200f8ffff0f23c848b80000333300f8ffff0f23d0"
        + "48b80000444400f8ffff0f23d8b8020400000f23f8dbe3d9ebd9ead9e8488d355c0000000fae16d96e04488d7610c5fc1006c5fc104e03c5fc105606"
        + "c5fc105e09c5fc10660cc5fc106e0fc5fc107612c5fc107e15c57c104618c57c104e1bc57c10561ec57c105e21c57c106624c57c106e27c57c10762a"
        + "c57c107e2df4ebfda01f00007f02000000000000000000000b30557a9fc4e90e33587da2c7ec11365b80a5caef14395e83a8cdf2173c6186abd0f51a"
        + "3f6489aed3f81d42678cb1d6fb20456a8fb4d9fe23486d92b7dc01264b7095badf04294e7398bde2072c5176";

    /// <summary>What is loaded from <see cref="LongModeStub.Code"/> on.</summary>
    public static byte[] Image() => SecondStage.Append(Convert.FromHexString(CodeHex));

    /// <summary>What the stub loads into a YMM register: 32 bytes of a sequence, three bytes further for each register.</summary>
    public static byte[] Vector(int register) => [.. Enumerable.Range(register * 3, 32).Select(i => (byte)((i * 37) + 11))];
}
