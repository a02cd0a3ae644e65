using System.Buffers;
using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>A part of memory in an SRAT.</summary>
/// <param name="Node">NUMA node (proximity domain).</param>
/// <param name="Start">Guest-physical address.</param>
/// <param name="Length">In bytes.</param>
/// <param name="IsHotplug">Room for memory devices, not RAM that is there.</param>
internal readonly record struct AcpiMemory(uint Node, ulong Start, ulong Length, bool IsHotplug);

/// <summary>
/// What QEMU's own ACPI tables tell of where RAM lies. QEMU keeps them in a RAM block that the guest can't write (<c>/rom@etc/acpi/tables</c>), so they travel in the stream: the PCI
/// hole's start in the DSDT, and, with NUMA or memory slots, every node's memory and the room for memory devices in the SRAT (ACPI 6.4, 5.2.16.2, 6.4.3.5).
/// </summary>
internal sealed class AcpiTables
{
    private const int HeaderSize = 36;
    private const int LengthAt = 4;

    private static readonly SearchValues<byte> SignatureBytes = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"u8);

    private const int SratFirstAt = 48;
    private const byte SratMemory = 1;
    private const int SratMemorySize = 40;
    private const int SratNodeAt = 2;
    private const int SratBaseAt = 8;
    private const int SratLengthAt = 16;
    private const int SratFlagsAt = 28;
    private const uint SratEnabled = 1;
    private const uint SratHotplug = 2;

    /// <summary>DWORD address space descriptor: tag, be length 0x17, kind 0 for memory, flags, kind's flags (bits 1 and 2: cacheability), then granularity, least, most, translation, length.</summary>
    private static readonly byte[] MemoryWindow = [0x87, 0x17, 0x00, 0x00];
    private const int WindowSize = 26;
    private const int WindowKindFlagsAt = 5;
    private const int WindowLeastAt = 10;
    private const int WindowMostAt = 14;
    private const int WindowLengthAt = 22;
    private const int Cacheability = 0b110;

    /// <summary>Windows below this are the VGA's and the firmware's.</summary>
    private const uint LowestHole = 1 << 20;

    /// <summary>Where the hole below 4 GiB begins, which is where low RAM ends; null where no table says so.</summary>
    public ulong? HoleStart { get; private set; }

    /// <summary>Where the SRAT's last RAM below 4 GiB ends; null where there is no SRAT.</summary>
    public ulong? LowMemoryEnd => Memory.Where(memory => !memory.IsHotplug && memory.Start + memory.Length <= RamSplit.FourGiB).Select(memory => (ulong?)(memory.Start + memory.Length)).Max();

    /// <summary>The SRAT's enabled memory, in its order; empty where there is no SRAT.</summary>
    public List<AcpiMemory> Memory { get; } = [];

    /// <summary>Reads the tables as they lie one behind the other; null where there are none.</summary>
    public static AcpiTables? Parse(ReadOnlySpan<byte> tables)
    {
        var result = new AcpiTables();
        var found = false;
        for (var at = 0; at + HeaderSize <= tables.Length;)
        {
            var length = BinaryPrimitives.ReadUInt32LittleEndian(tables[(at + LengthAt)..]);
            var signature = tables.Slice(at, 4);
            // Checksums are still 0 here: the guest's firmware computes them in its copy. Between tables there may be room for alignment.
            if (length < HeaderSize || length > (uint)(tables.Length - at) || !IsSignature(signature))
            {
                at++;
                continue;
            }
            found = true;
            if (signature.SequenceEqual("DSDT"u8))
                result.ReadHole(tables.Slice(at + HeaderSize, (int)length - HeaderSize));
            else if (signature.SequenceEqual("SRAT"u8))
                result.ReadMemory(tables.Slice(at, (int)length));
            at += (int)length;
        }
        return found ? result : null;
    }

    private static bool IsSignature(ReadOnlySpan<byte> signature) =>
        signature[0] is >= (byte)'A' and <= (byte)'Z' && !signature.ContainsAnyExcept(SignatureBytes);

    private void ReadHole(ReadOnlySpan<byte> code)
    {
        for (var at = code.IndexOf(MemoryWindow); at >= 0 && at + WindowSize <= code.Length;)
        {
            var window = code[at..];
            var (least, most) = (BinaryPrimitives.ReadUInt32LittleEndian(window[WindowLeastAt..]), BinaryPrimitives.ReadUInt32LittleEndian(window[WindowMostAt..]));
            if ((window[WindowKindFlagsAt] & Cacheability) == 0 && least >= LowestHole && least < most && (least & Page.OffsetMask) == 0
                && BinaryPrimitives.ReadUInt32LittleEndian(window[WindowLengthAt..]) == most - least + 1)
            {
                HoleStart = Math.Min(HoleStart ?? ulong.MaxValue, least);
            }
            var next = code[(at + 1)..].IndexOf(MemoryWindow);
            at = next < 0 ? -1 : at + 1 + next;
        }
    }

    private void ReadMemory(ReadOnlySpan<byte> table)
    {
        for (var at = SratFirstAt; at + 2 <= table.Length && table[at + 1] >= 2 && at + table[at + 1] <= table.Length; at += table[at + 1])
        {
            if (table[at] != SratMemory || table[at + 1] < SratMemorySize)
                continue;
            var entry = table[at..];
            var flags = BinaryPrimitives.ReadUInt32LittleEndian(entry[SratFlagsAt..]);
            var memory = new AcpiMemory(
                BinaryPrimitives.ReadUInt32LittleEndian(entry[SratNodeAt..]), BinaryPrimitives.ReadUInt64LittleEndian(entry[SratBaseAt..]),
                BinaryPrimitives.ReadUInt64LittleEndian(entry[SratLengthAt..]), (flags & SratHotplug) != 0);
            if ((flags & SratEnabled) != 0 && memory.Length != 0 && memory.Start + memory.Length > memory.Start)
                Memory.Add(memory);
        }
    }
}
