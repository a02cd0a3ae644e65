using System.Buffers.Binary;

namespace Forengate.Guests.Tests;

/// <summary>
/// A guest of 220 bytes of code that SeaBIOS starts by multiboot: long mode, identity-mapped first GiB, known values in the registers, and then it writes a rising counter into page
/// (counter mod 8192) of a field of pages for ever. At one instant all stamps lie within 8192 of each other and each fits its page.
/// </summary>
internal static class BareGuest
{
    public const ulong LoadAddress = 0x200000;
    public const ulong CounterAddress = 0x210000;
    public const ulong Field = 0x1000000;
    public const int FieldPages = 8192;

    public const ulong Cr3 = LoadAddress + 0x1000;
    public const ulong GsBase = 0xFFFFF801_12345000;
    public const ulong KernelGsBase = 0x000000E7_00ABC000;
    public const ulong Dr0 = 0xFFFFF800_11223344;
    public const ulong Rbx = 0xBBBBBBBB_00000001;
    public const ulong Rdi = 0xD1D1D1D1_D1D1D1D1;
    public const ulong R12 = 0x12121212_00000012;
    public const ulong R15 = 0x15151515_00000015;
    public const ulong Cr8 = 9;
    public static ReadOnlySpan<byte> Xmm7 => "forengate's xmm7"u8;

    private const int Code32At = 0x40;
    private const int Code64At = 0x100;
    private const int GdtAt = 0x200;
    private const int GdtPointerAt = 0x218;
    private const int Xmm7At = 0x300;

    private static ReadOnlySpan<byte> Code32 =>
    [
        0xB8, 0x20, 0x06, 0x00, 0x00, // mov eax, PAE | OSFXSR | OSXMMEXCPT
        0x0F, 0x22, 0xE0, // mov cr4, eax
        0xB8, 0x00, 0x10, 0x20, 0x00, // mov eax, 0x201000
        0x0F, 0x22, 0xD8, // mov cr3, eax
        0xB9, 0x80, 0x00, 0x00, 0xC0, // mov ecx, IA32_EFER
        0x0F, 0x32, // rdmsr
        0x0D, 0x01, 0x09, 0x00, 0x00, // or eax, SCE | LME | NXE
        0x0F, 0x30, // wrmsr
        0x0F, 0x20, 0xC0, // mov eax, cr0
        0x0D, 0x02, 0x00, 0x00, 0x80, // or eax, PG | MP
        0x83, 0xE0, 0xFB, // and eax, ~EM
        0x0F, 0x22, 0xC0, // mov cr0, eax
        0x0F, 0x01, 0x15, 0x18, 0x02, 0x20, 0x00, // lgdt [0x200218]
        0xEA, 0x00, 0x01, 0x20, 0x00, 0x08, 0x00, // jmp 8:0x200100
    ];

    private static ReadOnlySpan<byte> Code64 =>
    [
        0xB8, 0x10, 0x00, 0x00, 0x00, // mov eax, 0x10
        0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0, 0x8E, 0xE0, 0x8E, 0xE8, // mov ds, es, ss, fs, gs
        0xB9, 0x01, 0x01, 0x00, 0xC0, // mov ecx, IA32_GS_BASE
        0xB8, 0x00, 0x50, 0x34, 0x12, 0xBA, 0x01, 0xF8, 0xFF, 0xFF, 0x0F, 0x30, // wrmsr 0xFFFFF80112345000
        0xB9, 0x02, 0x01, 0x00, 0xC0, // mov ecx, IA32_KERNEL_GS_BASE
        0xB8, 0x00, 0xC0, 0xAB, 0x00, 0xBA, 0xE7, 0x00, 0x00, 0x00, 0x0F, 0x30, // wrmsr 0xE700ABC000
        0x48, 0xB8, 0x44, 0x33, 0x22, 0x11, 0x00, 0xF8, 0xFF, 0xFF, 0x0F, 0x23, 0xC0, // mov dr0, 0xFFFFF80011223344
        0xB8, 0x09, 0x00, 0x00, 0x00, 0x44, 0x0F, 0x22, 0xC0, // mov cr8, 9
        0xDB, 0xE3, 0xD9, 0xE8, // fninit; fld1
        0x0F, 0x10, 0x3C, 0x25, 0x00, 0x03, 0x20, 0x00, // movups xmm7, [0x200300]
        0xBC, 0x00, 0x00, 0x22, 0x00, // mov esp, 0x220000
        0x48, 0xBB, 0x01, 0x00, 0x00, 0x00, 0xBB, 0xBB, 0xBB, 0xBB, // mov rbx, …
        0x48, 0xBF, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, 0xD1, // mov rdi, …
        0x49, 0xBC, 0x12, 0x00, 0x00, 0x00, 0x12, 0x12, 0x12, 0x12, // mov r12, …
        0x49, 0xBF, 0x15, 0x00, 0x00, 0x00, 0x15, 0x15, 0x15, 0x15, // mov r15, …
        0x31, 0xC0, // xor eax, eax
        0x48, 0xFF, 0xC0, // again: inc rax
        0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x21, 0x00, // mov [0x210000], rax
        0x48, 0x89, 0xC1, // mov rcx, rax
        0x81, 0xE1, 0xFF, 0x1F, 0x00, 0x00, // and ecx, 8191
        0x48, 0xC1, 0xE1, 0x0C, // shl rcx, 12
        0x48, 0x89, 0x81, 0x00, 0x00, 0x00, 0x01, // mov [rcx + 0x1000000], rax
        0xEB, 0xDF, // jmp again
    ];

    /// <summary>A flat multiboot image (Multiboot specification 0.6.96, 3.1.3: addresses in the header, flag 16).</summary>
    public static byte[] Image()
    {
        var image = new byte[0x4000];
        const uint Magic = 0x1BADB002;
        const uint AddressesGiven = 1 << 16;
        ReadOnlySpan<uint> header =
        [
            Magic, AddressesGiven, unchecked(0 - Magic - AddressesGiven),
            (uint)LoadAddress, (uint)LoadAddress, (uint)LoadAddress + 0x4000, (uint)LoadAddress + 0x4000, (uint)LoadAddress + Code32At,
        ];
        for (var i = 0; i < header.Length; i++)
            BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(4 * i), header[i]);
        Code32.CopyTo(image.AsSpan(Code32At));
        Code64.CopyTo(image.AsSpan(Code64At));
        Xmm7.CopyTo(image.AsSpan(Xmm7At));
        Write(image, GdtAt + 8, 0x00AF9A00_0000FFFF); // 64-bit code, ring 0
        Write(image, GdtAt + 16, 0x00CF9200_0000FFFF); // data, ring 0
        BinaryPrimitives.WriteUInt16LittleEndian(image.AsSpan(GdtPointerAt), 23);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(GdtPointerAt + 2), (uint)LoadAddress + GdtAt);
        Write(image, 0x1000, LoadAddress + 0x2000 + 3);
        Write(image, 0x2000, LoadAddress + 0x3000 + 3);
        for (var i = 0; i < 512; i++)
            Write(image, 0x3000 + 8 * i, (ulong)i * 0x200000 + 0x83);
        return image;
    }

    private static void Write(byte[] image, int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(at), value);
}
