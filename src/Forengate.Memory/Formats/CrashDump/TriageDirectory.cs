using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>
/// <c>TRIAGE_DUMP64</c> or <c>TRIAGE_DUMP32</c>: what lies behind the header of a small dump. All offsets are from the start of the file. The fields up to TriageOptions are alike in both
/// (<see cref="TriageLayout"/>).
/// </summary>
public readonly ref struct TriageDirectory
{
    /// <summary><c>'TRGD'</c>: the dword at <see cref="ValidOffset"/> of a dump that was written to its end.</summary>
    public const uint ValidMark = 0x44475254;

    private readonly ReadOnlySpan<byte> _file;
    private readonly ReadOnlySpan<byte> _bytes;

    /// <param name="file">The whole file, at least to the structure's end.</param>
    /// <param name="layout">Of its width.</param>
    public TriageDirectory(ReadOnlySpan<byte> file, TriageLayout layout)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(file.Length, layout.Start + layout.Size);
        _file = file;
        _bytes = file.Slice(layout.Start, layout.Size);
        Layout = layout;
    }

    public TriageLayout Layout { get; }

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
    public VirtualAddress TopOfStack => Address(_bytes[Layout.TopOfStack..]);
    public VirtualAddress DataPageAddress => Address(_bytes[Layout.DataPage..]);
    public uint DataPageOffset => Dword(Layout.DataPage + Layout.PointerSize);
    public uint DataPageSize => Dword(Layout.DataPage + Layout.PointerSize + sizeof(uint));

    /// <summary>KDBG, decoded by Windows itself.</summary>
    public uint DebuggerDataOffset => Dword(Layout.DebuggerData);
    public uint DebuggerDataSize => Dword(Layout.DebuggerData + sizeof(uint));
    public uint DataBlocksOffset => Dword(Layout.DataBlocks);
    public uint DataBlocksCount => Dword(Layout.DataBlocks + sizeof(uint));

    /// <summary>Bytes of one entry of the data block list (TRIAGE_DATA_BLOCK in both widths: 64-bit virtual address, then 32 bits each of file offset and size).</summary>
    public const int DataBlockSize = 0x10;

    /// <summary>UTF-16 units of an unloaded driver's name that are kept.</summary>
    public const int UnloadedNameUnits = 12;

    /// <summary>Reads one entry of the driver list.</summary>
    /// <param name="index">0 to <see cref="DriverCount"/> - 1.</param>
    /// <param name="driver">Name, base and size.</param>
    /// <returns>False where the entry or its name lies beyond the file.</returns>
    public bool TryReadDriver(int index, out TriageDriver driver)
    {
        driver = default;
        var at = DriverListOffset + ((long)index * Layout.DriverEntrySize);
        if (index < 0 || index >= DriverCount || at + Layout.DriverEntrySize > _file.Length)
            return false;
        var entry = _file.Slice((int)at, Layout.DriverEntrySize);
        var nameAt = BinaryPrimitives.ReadUInt32LittleEndian(entry);
        driver = new TriageDriver(
            ReadString(_file, nameAt) ?? "", Address(entry[Layout.DriverBase..]), BinaryPrimitives.ReadUInt32LittleEndian(entry[Layout.DriverSize..]),
            BinaryPrimitives.ReadUInt32LittleEndian(entry[Layout.DriverTimeDateStamp..]));
        return driver.Path.Length != 0;
    }

    /// <summary>Reads one entry of the list of unloaded drivers; the caller sees to it that it lies in the file.</summary>
    internal TriageUnloadedDriver Unloaded(ReadOnlySpan<byte> entry)
    {
        var bytes = Math.Min(BinaryPrimitives.ReadUInt16LittleEndian(entry) & ~1, UnloadedNameUnits * sizeof(char));
        return new TriageUnloadedDriver(
            Encoding.Unicode.GetString(entry.Slice(Layout.UnloadedName, bytes)).TrimEnd('\0'), Address(entry[Layout.UnloadedStart..]),
            Address(entry[(Layout.UnloadedStart + Layout.PointerSize)..]));
    }

    /// <summary>A virtual address as wide as the dump's.</summary>
    private VirtualAddress Address(ReadOnlySpan<byte> bytes) =>
        new(Layout.PointerSize == sizeof(uint) ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : BinaryPrimitives.ReadUInt64LittleEndian(bytes));

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
