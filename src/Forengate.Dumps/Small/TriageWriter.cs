using System.Buffers.Binary;
using System.Text;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>What a small dump holds besides its header, ready to be laid out.</summary>
internal sealed record TriageParts
{
    public required ReadOnlyMemory<byte> Prcb { get; init; }

    public required ReadOnlyMemory<byte> Process { get; init; }

    public required ReadOnlyMemory<byte> Thread { get; init; }

    public required VirtualAddress StackTop { get; init; }

    public required ReadOnlyMemory<byte> Stack { get; init; }

    public required ReadOnlyMemory<byte> Kdbg { get; init; }

    /// <summary>In the loader's order; with the image header's checksum, 0 where it is not known.</summary>
    public required IReadOnlyList<(Driver Driver, uint CheckSum)> Drivers { get; init; }

    public required IReadOnlyList<TriageUnloadedDriver> Unloaded { get; init; }

    public required IReadOnlyList<(VirtualAddress Start, byte[] Bytes)> Blocks { get; init; }
}

/// <summary>
/// Lays a small dump out behind its header: TRIAGE_DUMP64, then what it points to, in the order in which Windows and the debugger engine write it (seen in a small dump of each). All offsets
/// are from the start of the file; the field order is told at <see cref="TriageDirectory"/>.
/// </summary>
internal sealed class TriageWriter
{
    /// <summary>What Windows and the engine write into TriageOptions.</summary>
    private const uint AllOptions = 0xFFFF_FFFF;

    /// <summary>Windows' record of bad memory (MmOffset): a version and its own size, and here nothing else, as the engine writes it.</summary>
    private const int MmSize = 0x50;

    private const uint MmVersion = 1;

    private const int Alignment = 8;

    /// <summary>Offsets in KLDR_DATA_TABLE_ENTRY64, which begins at <see cref="DriverEntryAt"/> of an entry (DRIVER_ENTRY64).</summary>
    private const int DriverEntryAt = 0x08, DllBase = 0x30, SizeOfImage = 0x40, CheckSum = 0x78, TimeDateStamp = 0x80;

    private static readonly TriageLayout s_layout = TriageLayout.Of64;

    private readonly List<byte> _bytes = [];

    /// <returns>Everything behind the header.</returns>
    public static byte[] Make(TriageParts parts)
    {
        var writer = new TriageWriter();
        return writer.Write(parts);
    }

    /// <summary>Where the next byte goes, from the start of the file.</summary>
    private uint Here => (uint)(s_layout.Start + _bytes.Count);

    private byte[] Write(TriageParts parts)
    {
        var directory = new byte[s_layout.Size];
        Put(directory);
        var mm = new byte[MmSize];
        BinaryPrimitives.WriteUInt32LittleEndian(mm, MmVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(mm.AsSpan(sizeof(uint)), MmSize);

        Dword(0x0C, CrashDumpLayout64.ContextRecord);
        Dword(0x10, CrashDumpLayout64.Exception);
        Dword(0x14, Put(mm));
        Dword(0x18, PutUnloaded(parts.Unloaded));
        Dword(0x1C, Put(parts.Prcb.Span));
        Dword(0x20, Put(parts.Process.Span));
        Dword(0x24, Put(parts.Thread.Span));
        Dword(0x28, Put(parts.Stack.Span));
        Dword(0x2C, (uint)parts.Stack.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(directory.AsSpan(0x48), parts.StackTop.Value);
        Dword(0x70, Put(parts.Kdbg.Span));
        Dword(0x74, (uint)parts.Kdbg.Length);
        Dword(0x34, (uint)parts.Drivers.Count);
        var (list, pool, poolSize) = PutDrivers(parts.Drivers);
        Dword(0x30, list);
        Dword(0x38, pool);
        Dword(0x3C, poolSize);
        Dword(0x44, AllOptions);
        Dword(0x7C, (uint)parts.Blocks.Count);
        Dword(0x78, PutBlocks(parts.Blocks));
        Dword(0x08, Here);
        Span<byte> mark = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(mark, TriageDirectory.ValidMark);
        _bytes.AddRange(mark);
        Dword(0x04, Here);
        var all = _bytes.ToArray();
        directory.CopyTo(all, 0);
        return all;

        void Dword(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(directory.AsSpan(offset), value);
    }

    private uint Put(ReadOnlySpan<byte> bytes)
    {
        Align();
        var at = Here;
        _bytes.AddRange(bytes);
        return at;
    }

    private void Align()
    {
        while (_bytes.Count % Alignment != 0)
            _bytes.Add(0);
    }

    private uint PutUnloaded(IReadOnlyList<TriageUnloadedDriver> drivers)
    {
        const int NameAt = 0x10, StartAt = NameAt + (TriageDirectory.UnloadedNameUnits * sizeof(char)), EndAt = StartAt + sizeof(ulong);
        var list = new byte[sizeof(ulong) + (drivers.Count * s_layout.UnloadedDriverSize)];
        BinaryPrimitives.WriteUInt64LittleEndian(list, (ulong)drivers.Count);
        for (var i = 0; i < drivers.Count; i++)
        {
            var entry = list.AsSpan(sizeof(ulong) + (i * s_layout.UnloadedDriverSize), s_layout.UnloadedDriverSize);
            var name = drivers[i].Name[..Math.Min(drivers[i].Name.Length, TriageDirectory.UnloadedNameUnits)];
            BinaryPrimitives.WriteUInt16LittleEndian(entry, (ushort)(name.Length * sizeof(char)));
            BinaryPrimitives.WriteUInt16LittleEndian(entry[sizeof(ushort)..], (ushort)(name.Length * sizeof(char)));
            Encoding.Unicode.GetBytes(name, entry[NameAt..]);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[StartAt..], drivers[i].Start.Value);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[EndAt..], drivers[i].End.Value);
        }
        return Put(list);
    }

    private (uint List, uint Pool, uint PoolSize) PutDrivers(IReadOnlyList<(Driver Driver, uint CheckSum)> drivers)
    {
        Align();
        var (list, pool) = (Here, Here + (uint)(drivers.Count * s_layout.DriverEntrySize));
        var strings = new List<byte>();
        foreach (var (driver, checkSum) in drivers)
        {
            var entry = new byte[s_layout.DriverEntrySize];
            BinaryPrimitives.WriteUInt32LittleEndian(entry, pool + (uint)strings.Count);
            var loader = entry.AsSpan(DriverEntryAt);
            BinaryPrimitives.WriteUInt64LittleEndian(loader[DllBase..], driver.Base.Value);
            BinaryPrimitives.WriteUInt32LittleEndian(loader[SizeOfImage..], driver.Size);
            BinaryPrimitives.WriteUInt32LittleEndian(loader[CheckSum..], checkSum);
            BinaryPrimitives.WriteUInt32LittleEndian(loader[TimeDateStamp..], driver.TimeDateStamp ?? 0);
            _bytes.AddRange(entry);
            // DUMP_STRING: a count of characters, the characters, a zero.
            var text = new byte[sizeof(uint) + ((driver.Path.Length + 1) * sizeof(char))];
            BinaryPrimitives.WriteUInt32LittleEndian(text, (uint)driver.Path.Length);
            Encoding.Unicode.GetBytes(driver.Path, text.AsSpan(sizeof(uint)));
            strings.AddRange(text);
            while (strings.Count % Alignment != 0)
                strings.Add(0);
        }
        _bytes.AddRange(strings);
        return (list, pool, (uint)strings.Count);
    }

    private uint PutBlocks(IReadOnlyList<(VirtualAddress Start, byte[] Bytes)> blocks)
    {
        var table = new byte[blocks.Count * TriageDirectory.DataBlockSize];
        Align();
        var at = Here + (uint)table.Length;
        for (var i = 0; i < blocks.Count; i++)
        {
            var entry = table.AsSpan(i * TriageDirectory.DataBlockSize);
            BinaryPrimitives.WriteUInt64LittleEndian(entry, blocks[i].Start.Value);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[sizeof(ulong)..], at);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[(sizeof(ulong) + sizeof(uint))..], (uint)blocks[i].Bytes.Length);
            at += (uint)blocks[i].Bytes.Length;
        }
        var list = Put(table);
        foreach (var (_, bytes) in blocks)
            _bytes.AddRange(bytes);
        Align();
        return list;
    }
}
