using System.Buffers.Binary;

namespace Forengate.Memory.Tests.Qemu;

/// <summary>
/// A guest of 340 bytes: its ROM jumps to 0x8000, where code of ours switches to long mode, loads registers with known values and halts. Page tables map the low 2 MiB to itself,
/// a kernel-like high half, a 2 MiB page above 4 GiB and one page of the low memory a second time.
/// </summary>
internal static class LongModeStub
{
    public const ulong Code = 0x8000;
    public const ulong Pml4 = 0x10000;
    public const ulong HighHalf = 0xFFFF_F800_0000_0000;
    public const ulong AboveFourGiB = 0x1_0000_0000;
    public const ulong TwiceMapped = 0x0060_0000;

    /// <summary>
    /// 16-bit: cli; lgdt; CR4.PAE; CR3=0x10000; EFER.LME+NXE; CR0.PG+PE; far jump to 64-bit: lidt; ss=0x10; wrmsr FS, GS, KERNEL_GS bases; CR2; rsp, rbp, rbx, rcx, rdx, rsi, rdi, r8–r15; hlt. Behind it GDT, GDTR, IDTR.
    /// </summary>
    private const string CodeHex =
        "fa31c08ed8660f011640810f20e06683c8200f22e066b8000001000f22d866b9800000c00f32660d000900000f300f20c0660d010000800f22c066ea"
        + "4280000008000f011c254a810000b8100000008ed0b9000100c0b811111111baf77f00000f30ffc1b800202222ba07f8ffff0f30ffc1b800303333ba"
        + "450000000f3048b8a7a6a5a4a3a2a1a00f22d048bc7856341201f8ffff48bd080706050403020148bbb7b6b5b4b3b2b1b048b9c7c6c5c4c3c2c1c048"
        + "bad7d6d5d4d3d2d1d048be585756555453525148bf68676665646362614" + "9b8888888888888888849b9999999999999999949ba101010101010101049"
        + "bb111111111111111149bc121212121212121249bd131313131313131349be141414141414141449bf1515151515151515f4ebfd0f1f400000000000"
        + "00000000ffff0000009baf00ffff00000093cf0017002881000000000000ff0f0050000000f8ffff";

    /// <summary>A ROM whose reset vector jumps to the code.</summary>
    public static byte[] Rom()
    {
        var rom = new byte[64 * 1024];
        rom.AsSpan().Fill(0xF4);
        byte[] farJump = [0xEA, (byte)(Code & 0xFF), (byte)(Code >> 8), 0, 0];
        farJump.CopyTo(rom, 0xFFF0);
        return rom;
    }

    /// <summary>What is loaded from <see cref="Code"/> on: code, then tables up to 0x16000.</summary>
    public static byte[] Image()
    {
        const ulong PresentWritable = 3;
        const ulong Large = 0x80;
        var image = new byte[0x16000 - Code];
        Convert.FromHexString(CodeHex).CopyTo(image, 0);
        Set(Pml4, 0, 0x11000 | PresentWritable);
        Set(Pml4, 0x1F0, 0x13000 | PresentWritable);
        Set(Pml4, 0x1ED, Pml4 | PresentWritable);
        Set(0x11000, 0, 0x12000 | PresentWritable);
        Set(0x12000, 0, Large | PresentWritable);
        Set(0x12000, 4, AboveFourGiB | Large | PresentWritable);
        Set(0x13000, 0, 0x14000 | PresentWritable);
        Set(0x14000, 0, 0x15000 | PresentWritable);
        Set(0x14000, 1, 0x00A0_0000 | Large | PresentWritable);
        Set(0x15000, 0, TwiceMapped | PresentWritable);
        Set(0x15000, 1, TwiceMapped | PresentWritable);
        Set(0x15000, 7, 0x0070_0000 | PresentWritable);
        return image;

        void Set(ulong table, int slot, ulong entry) => BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan((int)(table - Code) + (slot * 8)), entry);
    }
}
