using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Where RAM lies by the tables that QEMU made and the firmware (SeaBIOS) put into the guest's memory: SMBIOS structures of type 19, memory array mapped address (DMTF DSP0134, 5.2 and
/// 7.20). QEMU writes one a stretch of RAM it was started with (hw/smbios/smbios.c). They lie in the guest's reach, so they check what is known and are never believed alone.
/// </summary>
internal static class FirmwareMemory
{
    /// <summary>Where the entry point is looked for, at every 16 bytes.</summary>
    public const ulong AnchorArea = 0xF0000;
    public const int AnchorAreaSize = 0x10000;

    private const int Alignment = 16;
    private const int MostTable = 1 << 20;
    private const int MostStructures = 4096;

    // Entry point of 32 bits: "_SM_", length at 5, table's length at 0x16 and address at 0x18.
    private const int Length32At = 5;
    private const int TableLength32At = 0x16;
    private const int TableAddress32At = 0x18;
    private const int LeastEntry32 = 0x1F;

    // Entry point of 64 bits: "_SM3_", length at 6, the most the table may have at 0xC, its address at 0x10.
    private const int Length64At = 6;
    private const int TableLength64At = 0x0C;
    private const int TableAddress64At = 0x10;
    private const int LeastEntry64 = 0x18;

    // Type 19: start and end in KiB at 4 and 8; in bytes at 0xF and 0x17 where the start is all ones.
    private const byte MappedAddress = 19;
    private const byte EndOfTable = 127;
    private const int StartAt = 4;
    private const int EndAt = 8;
    private const int ExtendedStartAt = 0xF;
    private const int ExtendedEndAt = 0x17;

    /// <summary>Copies guest-physical bytes; false where that can't be.</summary>
    public delegate bool Reader(ulong address, Span<byte> destination);

    /// <summary>The stretches of RAM, ascending; empty where there is no such table.</summary>
    /// <param name="read">Reads the guest.</param>
    /// <param name="mayRead">True for stretches that are RAM for sure, or the firmware's area: the table's address is the guest's word.</param>
    public static List<PhysicalRange> Find(Reader read, Func<ulong, ulong, bool> mayRead)
    {
        var area = new byte[AnchorAreaSize];
        if (!read(AnchorArea, area))
            return [];
        for (var at = 0; at + LeastEntry32 <= area.Length; at += Alignment)
        {
            if (EntryPoint(area.AsSpan(at)) is not { } table || table.Length == 0 || !mayRead(table.Address, table.Length))
                continue;
            var bytes = new byte[table.Length];
            if (read(table.Address, bytes) && Parse(bytes) is { Count: > 0 } found)
                return found;
        }
        return [];
    }

    private static (ulong Address, ulong Length)? EntryPoint(ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith("_SM3_"u8) && bytes[Length64At] >= LeastEntry64 && Sums(bytes, bytes[Length64At]))
            return (BinaryPrimitives.ReadUInt64LittleEndian(bytes[TableAddress64At..]), Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(bytes[TableLength64At..]), MostTable));
        if (bytes.StartsWith("_SM_"u8) && bytes[Length32At] >= LeastEntry32 - 1 && Sums(bytes, bytes[Length32At]))
            return (BinaryPrimitives.ReadUInt32LittleEndian(bytes[TableAddress32At..]), BinaryPrimitives.ReadUInt16LittleEndian(bytes[TableLength32At..]));
        return null;
    }

    /// <summary>All bytes of an entry point add up to 0.</summary>
    private static bool Sums(ReadOnlySpan<byte> bytes, int length)
    {
        if (length > bytes.Length)
            return false;
        byte sum = 0;
        foreach (var value in bytes[..length])
            sum += value;
        return sum == 0;
    }

    internal static List<PhysicalRange> Parse(ReadOnlySpan<byte> table)
    {
        var ranges = new List<PhysicalRange>();
        for (var i = 0; i < MostStructures && table.Length >= 4; i++)
        {
            var (type, length) = (table[0], table[1]);
            if (type == EndOfTable || length < 4 || length > table.Length)
                break;
            if (type == MappedAddress && Range(table[..length]) is { } range)
                ranges.Add(range);
            // Behind each structure stand its texts, ended by two zero bytes.
            var end = table[length..].IndexOf("\0\0"u8);
            if (end < 0)
                break;
            table = table[(length + end + 2)..];
        }
        ranges.Sort((left, right) => left.Start.Value.CompareTo(right.Start.Value));
        return ranges;
    }

    private static PhysicalRange? Range(ReadOnlySpan<byte> structure)
    {
        if (structure.Length < ExtendedStartAt)
            return null;
        ulong start = BinaryPrimitives.ReadUInt32LittleEndian(structure[StartAt..]);
        ulong last = BinaryPrimitives.ReadUInt32LittleEndian(structure[EndAt..]);
        if (start != uint.MaxValue)
        {
            start <<= 10;
            last = ((last + 1) << 10) - 1;
        }
        else
        {
            if (structure.Length < ExtendedEndAt + sizeof(ulong))
                return null;
            start = BinaryPrimitives.ReadUInt64LittleEndian(structure[ExtendedStartAt..]);
            last = BinaryPrimitives.ReadUInt64LittleEndian(structure[ExtendedEndAt..]);
        }
        return last > start && last < 1UL << PhysicalAddress.Bits ? new PhysicalRange(new PhysicalAddress(start), last - start + 1) : null;
    }
}
