using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>
/// <c>TRIAGE_DUMP64</c>: what lies behind the header of a 64-bit small dump. All offsets are from the start of the file. No public Windows header has the structure;
/// the field order is as rizin's <c>dmp_specs.h</c> and Ghidra read it, confirmed on the real small dump that the tests read.
/// </summary>
public readonly ref struct TriageDump64
{
    /// <summary>Bytes of the structure up to and with its last field that is known here.</summary>
    public const int Size = 0x80;

    /// <summary>Where it begins in the file.</summary>
    public const int Start = CrashDumpLayout64.HeaderSize;

    /// <summary><c>'TRGD'</c>: the dword at <see cref="ValidOffset"/> of a dump that was written to its end.</summary>
    public const uint ValidMark = 0x44475254;

    /// <summary>Bytes of one entry of the driver list (DRIVER_ENTRY64: dword offset of the name, then a KLDR_DATA_TABLE_ENTRY64 from +8).</summary>
    public const int DriverEntrySize = 0x90;

    private readonly ReadOnlySpan<byte> _bytes;

    /// <param name="bytes">The bytes at <see cref="Start"/>, at least <see cref="Size"/>.</param>
    public TriageDump64(ReadOnlySpan<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes.Length, Size);
        _bytes = bytes[..Size];
    }

    public uint ServicePackBuild => Dword(0x00);
    public uint SizeOfDump => Dword(0x04);
    public uint ValidOffset => Dword(0x08);
    public uint ContextOffset => Dword(0x0C);
    public uint ExceptionOffset => Dword(0x10);
    public uint MmOffset => Dword(0x14);
    public uint UnloadedDriversOffset => Dword(0x18);
    public uint PrcbOffset => Dword(0x1C);
    public uint ProcessOffset => Dword(0x20);
    public uint ThreadOffset => Dword(0x24);
    public uint CallStackOffset => Dword(0x28);
    public uint SizeOfCallStack => Dword(0x2C);
    public uint DriverListOffset => Dword(0x30);
    public uint DriverCount => Dword(0x34);
    public uint StringPoolOffset => Dword(0x38);
    public uint StringPoolSize => Dword(0x3C);
    public uint BrokenDriverOffset => Dword(0x40);
    public uint TriageOptions => Dword(0x44);
    public ulong TopOfStack => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[0x48..]);
    public ulong DataPageAddress => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[0x60..]);
    public uint DataPageOffset => Dword(0x68);
    public uint DataPageSize => Dword(0x6C);

    /// <summary>KDBG, decoded by Windows itself.</summary>
    public uint DebuggerDataOffset => Dword(0x70);
    public uint DebuggerDataSize => Dword(0x74);
    public uint DataBlocksOffset => Dword(0x78);
    public uint DataBlocksCount => Dword(0x7C);

    /// <summary>Bytes of one entry of the data block list (TRIAGE_DATA_BLOCK: virtual address, then 32 bits each of file offset and size).</summary>
    public const int DataBlockSize = 0x10;

    /// <summary>Bytes of one entry of the list of unloaded drivers, which follow a 64-bit count: UNICODE_STRING64, 12 UTF-16 units of the name, start, end.</summary>
    public const int UnloadedDriverSize = 0x38;

    /// <summary>UTF-16 units of an unloaded driver's name that are kept.</summary>
    public const int UnloadedNameUnits = 12;

    /// <summary>Reads one entry of the driver list.</summary>
    /// <param name="file">The whole file.</param>
    /// <param name="index">0 to <see cref="DriverCount"/> - 1.</param>
    /// <param name="driver">Name, base and size.</param>
    /// <returns>False where the entry or its name lies beyond the file.</returns>
    public bool TryReadDriver(ReadOnlySpan<byte> file, int index, out TriageDriver driver)
    {
        driver = default;
        var at = DriverListOffset + ((long)index * DriverEntrySize);
        if (index < 0 || index >= DriverCount || at + DriverEntrySize > file.Length)
            return false;
        var entry = file.Slice((int)at, DriverEntrySize);
        var nameAt = BinaryPrimitives.ReadUInt32LittleEndian(entry);
        driver = new TriageDriver(
            ReadString(file, nameAt) ?? "", new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(entry[0x38..])), BinaryPrimitives.ReadUInt32LittleEndian(entry[0x48..]),
            BinaryPrimitives.ReadUInt32LittleEndian(entry[0x88..]));
        return driver.Path.Length != 0;
    }

    /// <summary>DUMP_STRING: a count of UTF-16 units, then the units.</summary>
    private static string? ReadString(ReadOnlySpan<byte> file, uint offset)
    {
        if (offset > file.Length - sizeof(uint))
            return null;
        var units = BinaryPrimitives.ReadUInt32LittleEndian(file[(int)offset..]);
        var from = (int)offset + sizeof(uint);
        return units <= MaxNameUnits && units * 2 <= file.Length - from ? Encoding.Unicode.GetString(file.Slice(from, (int)units * 2)) : null;
    }

    /// <summary>UNICODE_STRING lengths are 16 bits of bytes.</summary>
    private const int MaxNameUnits = ushort.MaxValue / 2;

    private uint Dword(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes[offset..]);
}

/// <summary>A driver in a small dump's list.</summary>
/// <param name="Path">As Windows loaded it: <c>\SystemRoot\system32\hal.dll</c>.</param>
/// <param name="Base">Where the image is loaded.</param>
/// <param name="Size">In bytes.</param>
/// <param name="TimeDateStamp">The image header's link time, or hash in reproducible builds.</param>
public readonly record struct TriageDriver(string Path, VirtualAddress Base, uint Size, uint TimeDateStamp);

/// <summary>A driver that was unloaded before the crash.</summary>
/// <param name="Name">The first twelve letters of its name.</param>
/// <param name="Start">Where it was loaded.</param>
/// <param name="End">The first address behind it.</param>
public readonly record struct TriageUnloadedDriver(string Name, VirtualAddress Start, VirtualAddress End);

/// <summary>A stretch of virtual memory that a small dump holds.</summary>
/// <param name="Start">Virtual address.</param>
/// <param name="Length">In bytes.</param>
/// <param name="FileOffset">Where its bytes lie.</param>
public readonly record struct TriageBlock(VirtualAddress Start, uint Length, uint FileOffset);
