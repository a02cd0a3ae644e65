using System.Buffers.Binary;
using System.Numerics;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>The debugger data block and what leads to it: list head, version block, encoding keys and flag.</summary>
internal sealed class Kdbg
{
    private const uint Tag = 0x4742444B; // "KDBG"

    public required ulong Address { get; init; }
    /// <summary>The block as the debugger wants it.</summary>
    public required byte[] Decoded { get; init; }
    public required bool Encoded { get; init; }
    public required ulong WaitNever { get; init; }
    public required ulong WaitAlways { get; init; }
    /// <summary>Address of KdpDataBlockEncoded, which is also a key.</summary>
    public required ulong FlagAddress { get; init; }

    public static Kdbg Write(KernelTables tables, AddressSpace space, KernelImage kernel, KernelLayout layout, SeededRandom random, bool encoded)
    {
        var block = kernel.AddressOf("KdDebuggerDataBlock");
        var head = kernel.AddressOf("KdpDebuggerDataListHead");
        var size = tables.Family switch { < 9200 => 0x340, < 14393 => 0x360, < 17763 => 0x368, _ => 0x380 };
        var bytes = new byte[size];
        void U64(int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(at), value);
        void U16(int at, int value) => BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(at), (ushort)value);

        U64(0x00, head);
        U64(0x08, head);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(0x10), Tag);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(0x14), (uint)size);
        U64(0x18, kernel.Base);
        // Bit 0 PaeEnabled, bits 2 to 5 PagingLevels, which came in the time of build 19645 ("Manganese", wdbgexts.h).
        U16(0x36, tables.Family >= 20348 ? 1 | space.Tables.Levels << 2 : 1);
        foreach (var field in KdbgField.Code.Concat(KdbgField.Globals))
        {
            if (field.Offset + field.Width <= size && kernel.Has(field.Name))
                U64(field.Offset, kernel.AddressOf(field.Name));
        }
        U64(0x138, GuestRam.PageSize);
        U64(0x290, layout.PteBase);
        foreach (var (offset, width, type, path) in KdbgField.Layout)
        {
            if (offset + width > size || path == "MmHotPatchContext" && tables.Family < 20348 || !tables.TryField(type, path, out var field))
                continue;
            if (width == 4)
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(offset), (uint)field.Offset);
            else
                U16(offset, field.Offset);
        }
        foreach (var (offset, type) in KdbgField.Sizes)
        {
            if (offset + 2 <= size && tables.HasType(type))
                U16(offset, tables.SizeOf(type));
        }
        foreach (var (offset, value) in KdbgField.Selectors)
            U16(offset, value);
        if (size >= 0x368)
            U64(0x360, layout.PteBase);

        var never = random.Next();
        var always = random.Next();
        var flag = kernel.AddressOf("KdpDataBlockEncoded");
        kernel.SetU64("KiWaitNever", never);
        kernel.SetU64("KiWaitAlways", always);
        kernel.SetU8("KdpDataBlockEncoded", encoded ? (byte)1 : (byte)0);
        space.Write(block, encoded ? Encode(bytes, never, always, flag) : bytes);
        space.WriteU64(head, block);
        space.WriteU64(head + 8, block);
        WriteVersion(tables, space, kernel, head);
        return new Kdbg { Address = block, Decoded = bytes, Encoded = encoded, WaitNever = never, WaitAlways = always, FlagAddress = flag };
    }

    /// <summary>
    /// What KdEncodeDataBlock does, told from its inverse KdDecodeDataBlock (described in QEMU's elf2dmp): each qword is XORed with KiWaitAlways, its bytes turned round, XORed with the
    /// address of KdpDataBlockEncoded, rotated right by KiWaitNever and XORed with it.
    /// </summary>
    public static byte[] Encode(ReadOnlySpan<byte> plain, ulong never, ulong always, ulong flag)
    {
        var encoded = new byte[plain.Length];
        for (var at = 0; at < plain.Length; at += 8)
        {
            var value = BinaryPrimitives.ReadUInt64LittleEndian(plain[at..]) ^ always;
            value = BinaryPrimitives.ReverseEndianness(value) ^ flag;
            value = BitOperations.RotateRight(value, (int)(never & 0x3F)) ^ never;
            BinaryPrimitives.WriteUInt64LittleEndian(encoded.AsSpan(at), value);
        }
        return encoded;
    }

    /// <summary>KdVersionBlock, DBGKD_GET_VERSION64: never encoded. Values as a debugger's <c>version</c> packet of real kernels shows them.</summary>
    private static void WriteVersion(KernelTables tables, AddressSpace space, KernelImage kernel, ulong head)
    {
        var version = new StructWriter(tables, "_DBGKD_GET_VERSION64", kernel.AddressOf("KdVersionBlock"));
        version.Set("MajorVersion", 0xF).Set("MinorVersion", (ulong)tables.Build.Build);
        // wdbgexts.h: KD_SECONDARY_VERSION_AMD64_CONTEXT 2; windbgkd.h: DBGKD_VERS_FLAG_MP 1, _DATA 2, _PTR64 4, _NOMM 8, _HSS 0x10, _PARTITIONS 0x20, 0x40 hypervisor.
        version.Set("ProtocolVersion", 6).Set("KdSecondaryVersion", 2).Set("Flags", 0x47).Set("MachineType", 0x8664);
        version.Set("MaxPacketType", 0xC).Set("MaxStateChange", 3).Set("MaxManipulate", 0x33);
        version.Set("KernBase", kernel.Base).Set("PsLoadedModuleList", kernel.AddressOf("PsLoadedModuleList")).Set("DebuggerDataList", head);
        version.Store(space);
    }
}
