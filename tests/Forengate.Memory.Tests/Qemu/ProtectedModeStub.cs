using System.Buffers.Binary;

namespace Forengate.Memory.Tests.Qemu;

/// <summary>
/// A guest of 68 bytes: code at 0x8000 switches to protected mode with 32-bit or PAE paging and halts. The tables map the low memory to itself, a Windows-like half from 0x80000000 on
/// in small and large pages, a large page above 4 GiB, and themselves at 0xC0000000.
/// </summary>
internal static class ProtectedModeStub
{
    public const ulong Code = 0x8000;
    public const ulong AboveFourGiB = 0x1_0000_0000;

    /// <summary>Not on a page: only the top table of PAE may lie so.</summary>
    public const ulong PaeTop = 0x10020;
    public const ulong LegacyTop = 0x10000;

    /// <summary>
    /// 16-bit: cli; ds = 0; lgdt [0x8080]; CR4 and CR3 from the two immediates; EFER.NXE; CR0.PG+PE; far jump to 32-bit: ss = 0x10; esp = 0x80123000; hlt.
    /// </summary>
    private const string CodeHex =
        "fa6631c08ed8660f0116808066b8111111110f22e066b8222222220f22d866b9800000c00f32660d000800000f300f20c0660d010000800f22c066ea42800000080066b810008ed0bc00301280f4ebfd";

    private const int Cr4At = 14, Cr3At = 23, GdtrAt = 0x80, GdtAt = 0x90;
    private const uint Pse = 0x10, Pae = 0x20;

    /// <summary>What is loaded from <see cref="Code"/> on: code, then tables up to 0x16000.</summary>
    public static byte[] Image(bool pae)
    {
        const ulong Present = 1, PresentWritable = 3, Large = 0x80, NoExecute = 1UL << 63, Pse36Page = 1UL << 13;
        var image = new byte[0x16000 - Code];
        Convert.FromHexString(CodeHex).CopyTo(image, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(Cr4At), pae ? Pse | Pae : Pse);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(Cr3At), (uint)(pae ? PaeTop : LegacyTop));
        // Null, flat 32-bit code, flat data; 24 bytes.
        Convert.FromHexString("1700").CopyTo(image, GdtrAt);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(GdtrAt + 2), (uint)Code + GdtAt);
        Convert.FromHexString("0000000000000000ffff0000009bcf00ffff00000093cf00").CopyTo(image, GdtAt);
        if (pae)
        {
            Wide(PaeTop, 0, 0x11000 | Present);
            Wide(PaeTop, 2, 0x12000 | Present);
            Wide(PaeTop, 3, 0x13000 | Present);
            Wide(0x11000, 0, Large | PresentWritable);
            Wide(0x11000, 4, AboveFourGiB | Large | PresentWritable);
            Wide(0x12000, 0, 0x14000 | PresentWritable);
            Wide(0x12000, 2, 0x00A0_0000 | Large | PresentWritable);
            Wide(0x13000, 0, 0x11000 | PresentWritable);
            Wide(0x13000, 2, 0x12000 | PresentWritable);
            Wide(0x13000, 3, 0x13000 | PresentWritable);
            Wide(0x14000, 0, 0x0060_0000 | PresentWritable);
            Wide(0x14000, 1, NoExecute | 0x0060_0000 | PresentWritable);
            Wide(0x14000, 7, AboveFourGiB | 0x3000 | PresentWritable);
        }
        else
        {
            Narrow(LegacyTop, 0, Large | PresentWritable);
            Narrow(LegacyTop, 4, Pse36Page | Large | PresentWritable);
            Narrow(LegacyTop, 0x200, 0x11000 | PresentWritable);
            Narrow(LegacyTop, 0x201, 0x0080_0000 | Large | PresentWritable);
            Narrow(LegacyTop, 0x300, LegacyTop | PresentWritable);
            Narrow(0x11000, 0, 0x0060_0000 | PresentWritable);
            Narrow(0x11000, 1, 0x0060_0000 | Present);
            Narrow(0x11000, 7, 0x0070_0000 | PresentWritable);
        }
        return image;

        void Wide(ulong table, int slot, ulong entry) => BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan((int)(table - Code) + (slot * sizeof(ulong))), entry);
        void Narrow(ulong table, int slot, ulong entry) => BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan((int)(table - Code) + (slot * sizeof(uint))), (uint)entry);
    }
}
