using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>KDBG at the address the header names: there, plain, whole, and of one mind with the header.</summary>
internal static class DebuggerBlockCheck
{
    private const int HeaderSize = 0x18;
    private const ushort DosMark = 0x5A4D;

    /// <summary>The least that names where contexts are (OffsetPrcbContext at 0x338): Windows 7's block.</summary>
    private const uint MinUsefulSize = 0x340;

    /// <summary>Several times what any version has.</summary>
    private const uint MaxSize = 0x2000;

    /// <summary>A word of KDBG with the paging levels in bits 2 to 5: what current debuggers read (docs/debugger-engine.md); 0 on builds that do not set it.</summary>
    private const int PagingWord = 0x36;

    public static DebuggerBlock? Run(CrashDumpHeader64 header, AddressSpace space, WindowsSystem? windows, CheckFindings findings)
    {
        var address = new VirtualAddress(header.KdDebuggerDataBlock);
        Span<byte> head = stackalloc byte[HeaderSize];
        if (!space.TryRead(address, head))
        {
            findings.Error(CheckCode.DebuggerData, $"KdDebuggerDataBlock {address} is not present or unreadable: a debugger finds no processor and no version");
            return null;
        }
        if (BinaryPrimitives.ReadUInt32LittleEndian(head[(int)DebuggerDataField.OwnerTag..]) != DebuggerData.Tag)
        {
            if (windows?.Kdbg is { Encoded: true } encoded && encoded.Address == address)
            {
                findings.Error(CheckCode.DebuggerDataEncoded, $"KDBG at {address} is still encoded: a debugger cannot read it without the kernel's symbols");
                return new DebuggerBlock(address, encoded.Bytes, Encoded: true, encoded.FlagAddress);
            }
            var text = LooksEncoded(space, address, header, head)
                ? $"KDBG at {address} is still encoded: a debugger cannot read it without the kernel's symbols"
                : $"at KdDebuggerDataBlock {address} lies no KDBG: its tag is missing";
            findings.Error(LooksEncoded(space, address, header, head) ? CheckCode.DebuggerDataEncoded : CheckCode.DebuggerData, text);
            if (windows?.Kdbg is { } other && other.Address != address)
                findings.Error(CheckCode.DebuggerData, $"the kernel's KDBG is at {other.Address}");
            return windows?.Kdbg is { } kdbg ? DebuggerBlock.Of(kdbg) : null;
        }

        var size = BinaryPrimitives.ReadUInt32LittleEndian(head[(int)DebuggerDataField.Size..]);
        if (size is < MinUsefulSize or > MaxSize)
        {
            findings.Error(CheckCode.DebuggerData, $"KDBG at {address} says it has 0x{size:x} bytes: damaged, or too short to say where contexts are");
            return null;
        }
        var bytes = new byte[size];
        if (!space.TryRead(address, bytes))
        {
            findings.Error(CheckCode.DebuggerData, $"KDBG at {address} cannot be read to its end ({size} bytes)");
            return null;
        }
        var block = new DebuggerBlock(address, bytes, Encoded: false, windows?.Kdbg?.FlagAddress);
        Compare(header, space, block, windows, findings);
        return block;
    }

    private static void Compare(CrashDumpHeader64 header, AddressSpace space, DebuggerBlock block, WindowsSystem? windows, CheckFindings findings)
    {
        if (block.Pointer(DebuggerDataField.KernBase) is not { } kernel)
            findings.Error(CheckCode.DebuggerData, "KDBG names no kernel base");
        else if (!space.TryRead(kernel, out ushort mark) || mark != DosMark)
            findings.Warning(CheckCode.DebuggerData, $"KDBG's KernBase {kernel}: no image header can be read there; a debugger does not know the kernel's size and symbols");
        if (windows is not null && block.Pointer(DebuggerDataField.KernBase) != windows.Image.Base)
            findings.Error(CheckCode.DebuggerData, $"KDBG's KernBase is not the kernel's base {windows.Image.Base}");

        if (block.Word((DebuggerDataField)PagingWord) >> 2 is var bits && (bits & 0xF) is not 0 and var levels && levels != space.Levels)
            findings.Error(CheckCode.DebuggerData, $"KDBG says {levels} paging levels, the page tables have {space.Levels}: a debugger reads nothing further");
        if (header.PagingLevels != space.Levels)
            findings.Error(CheckCode.DebuggerData, $"the header says {header.PagingLevels} paging levels (byte 0x104e), the page tables have {space.Levels}: a debugger does not even find KDBG");
        List("PsLoadedModuleList", DebuggerDataField.PsLoadedModuleList, header.PsLoadedModuleList);
        List("PsActiveProcessHead", DebuggerDataField.PsActiveProcessHead, header.PsActiveProcessHead);
        if (block.Pointer(DebuggerDataField.MmPfnDatabase) is { } variable && space.TryRead(variable, out ulong database))
        {
            if (database != header.PfnDataBase && header.PfnDataBase != CrashDumpHeader64.LongFiller)
                findings.Warning(CheckCode.PfnDatabase, $"PfnDataBase is 0x{header.PfnDataBase:x}, the kernel's MmPfnDatabase holds 0x{database:x}");
        }
        if (block.FlagAddress is { } flag && space.TryRead(flag, out byte set) && set != 0)
            findings.Warning(CheckCode.DebuggerDataFlag, $"KdpDataBlockEncoded at {flag} is {set} although KDBG is plain: a debugger with symbols may decode it once more");

        void List(string name, DebuggerDataField field, ulong inHeader)
        {
            var inBlock = block.Pointer(field);
            if (inBlock?.Value != inHeader)
                (field == DebuggerDataField.PsLoadedModuleList ? (Action<string, string>)findings.Error : findings.Warning)(CheckCode.DebuggerData, $"{name}: the header says 0x{inHeader:x}, KDBG {inBlock?.ToString() ?? "nothing"}");
        }
    }

    /// <summary>
    /// The first two qwords are the ends of one list, which lead to the same entry: equal before the encoding, they are equal after it. Two equal qwords that are no addresses, and
    /// a block full of qwords that are none, are an encoded KDBG.
    /// </summary>
    private static bool LooksEncoded(AddressSpace space, VirtualAddress address, CrashDumpHeader64 header, ReadOnlySpan<byte> head)
    {
        var first = BinaryPrimitives.ReadUInt64LittleEndian(head);
        if (first == 0 || first != BinaryPrimitives.ReadUInt64LittleEndian(head[8..]))
            return false;
        // PsLoadedModuleList and PsActiveProcessHead are known from the header: their XOR survives XOR with the key, and is only rotated and byte-swapped.
        Span<byte> lists = stackalloc byte[16];
        if (!space.TryRead(address + (ulong)DebuggerDataField.PsLoadedModuleList, lists))
            return false;
        var encoded = BinaryPrimitives.ReadUInt64LittleEndian(lists) ^ BinaryPrimitives.ReadUInt64LittleEndian(lists[8..]);
        var plain = BinaryPrimitives.ReverseEndianness(header.PsLoadedModuleList ^ header.PsActiveProcessHead);
        for (var rotation = 0; rotation < 64; rotation++)
        {
            if (System.Numerics.BitOperations.RotateLeft(encoded, rotation) == plain)
                return true;
        }
        return false;
    }
}
