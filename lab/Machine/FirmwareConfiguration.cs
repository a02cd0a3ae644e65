using System.Buffers.Binary;
using System.Text;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Forengate.Lab.Machine;

/// <summary>ROM code that speaks to QEMU's fw_cfg device (QEMU docs/specs/fw_cfg.txt) to register a vmcoreinfo note.</summary>
internal static class FirmwareConfiguration
{
    private const int SelectorPort = 0x510, DataPort = 0x511, DmaHighPort = 0x514, DmaLowPort = 0x518;
    private const int FileDirectory = 0x19, NameLength = 56;
    private const uint DmaWrite = 0x10;
    private const ushort FormatElf = 1;
    private const int NoteInfoSize = 16;
    // Within the data block: the file's name as the directory holds it, the DMA request, what it writes.
    private const int NameOffset = 0, RequestOffset = NameLength, InfoOffset = RequestOffset + 16, DataSize = InfoOffset + NoteInfoSize;

    /// <summary>The constants that <see cref="Register"/> works with, for the ROM address at which they will lie.</summary>
    public static byte[] Data(VmCoreInfoNote note, uint address)
    {
        var data = new byte[DataSize];
        Encoding.ASCII.GetBytes("etc/vmcoreinfo", data.AsSpan(NameOffset));
        // FWCfgDmaAccess, big endian: control, length, address. QEMU's result goes into the control word, which in a ROM stays as it is.
        BinaryPrimitives.WriteUInt32BigEndian(data.AsSpan(RequestOffset), DmaWrite);
        BinaryPrimitives.WriteUInt32BigEndian(data.AsSpan(RequestOffset + 4), NoteInfoSize);
        BinaryPrimitives.WriteUInt64BigEndian(data.AsSpan(RequestOffset + 8), address + InfoOffset);
        // FWCfgVMCoreInfo, little endian: host format (QEMU's to write), guest format, size, address.
        BinaryPrimitives.WriteUInt16LittleEndian(data.AsSpan(InfoOffset + 2), FormatElf);
        BinaryPrimitives.WriteUInt32LittleEndian(data.AsSpan(InfoOffset + 4), note.Size);
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(InfoOffset + 8), note.Address);
        return data;
    }

    /// <summary>
    /// Finds the file <c>etc/vmcoreinfo</c> and writes the note's whereabouts into it by DMA out of the ROM. Does nothing where there is no such file.
    /// Clobbers RAX, RCX, RDX, RDI, R8, R9, R10.
    /// </summary>
    /// <param name="a">Takes the code.</param>
    /// <param name="data">ROM address of <see cref="Data"/>, below 4 GiB.</param>
    public static void Register(Assembler a, uint data)
    {
        Label entry = a.CreateLabel(), compare = a.CreateLabel(), done = a.CreateLabel();

        // The directory: u32 count, then entries of u32 size, u16 key, u16 reserved, char name[56]; all big endian.
        a.mov(eax, FileDirectory);
        a.mov(edx, SelectorPort);
        a.@out(dx, ax);
        a.mov(edx, DataPort);
        a.xor(r9d, r9d);
        for (var i = 0; i < 4; i++)
            NextByte(a, r9d);
        a.Label(ref entry);
        a.dec(r9d);
        a.js(done);
        a.xor(r8d, r8d);
        for (var i = 0; i < 6; i++)
            NextByte(a, r8d);
        a.movzx(r8d, r8w);
        a.@in(al, dx);
        a.@in(al, dx);
        a.mov(edi, data + NameOffset);
        a.mov(ecx, NameLength);
        a.xor(r10d, r10d);
        a.Label(ref compare);
        a.@in(al, dx);
        a.xor(al, __byte_ptr[rdi]);
        a.movzx(eax, al);
        a.or(r10d, eax);
        a.inc(rdi);
        a.dec(ecx);
        a.jnz(compare);
        a.test(r10d, r10d);
        a.jnz(entry);

        a.mov(eax, r8d);
        a.mov(edx, SelectorPort);
        a.@out(dx, ax);
        // The address of the request, big endian; its low half starts the transfer.
        a.mov(edx, DmaHighPort);
        a.xor(eax, eax);
        a.@out(dx, eax);
        a.mov(eax, BinaryPrimitives.ReverseEndianness(data + RequestOffset));
        a.mov(edx, DmaLowPort);
        a.@out(dx, eax);
        a.Label(ref done);
        a.nop();
    }

    private static void NextByte(Assembler a, AssemblerRegister32 into)
    {
        a.@in(al, dx);
        a.movzx(eax, al);
        a.shl(into, 8);
        a.or(into, eax);
    }
}
