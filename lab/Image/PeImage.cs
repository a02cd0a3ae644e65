using System.Buffers.Binary;
using System.Text;

namespace Forengate.Lab.Image;

/// <summary>Writes the headers, export directory and CodeView record of a mapped PE32+ image (PE/COFF specification, revision 11).</summary>
internal sealed class PeImage
{
    private const int NtHeader = 0xE8;
    private const int OptionalHeader = NtHeader + 24;
    private const int SectionTable = OptionalHeader + 0xF0;
    private const ushort Amd64 = 0x8664;

    public required uint Size { get; init; }
    public required uint Timestamp { get; init; }
    public required uint EntryPoint { get; init; }
    public required IReadOnlyList<PeSection> Sections { get; init; }
    public required bool IsDll { get; init; }
    public ushort Subsystem { get; init; } = 1;
    public ulong PreferredBase { get; init; } = 0x1_4000_0000;
    public ushort OsMajor { get; init; } = 10;
    public ushort OsMinor { get; init; }
    public uint CheckSum { get; init; }
    /// <summary>RVA and size of the export directory, 0 for none.</summary>
    public (uint Rva, uint Size) Exports { get; init; }
    /// <summary>RVA of the debug directory (one entry), 0 for none.</summary>
    public uint DebugDirectory { get; init; }

    public byte[] Header()
    {
        var page = new byte[GuestRam.PageSize];
        var bytes = page.AsSpan();
        // DOS header: e_magic, e_cblp, e_cp, e_cparhdr, e_maxalloc, e_sp, e_lfarlc, e_lfanew, as Microsoft's linker writes them; then its stub's text.
        "MZ"u8.CopyTo(bytes);
        U16(0x02, 0x90); U16(0x04, 3); U16(0x08, 4); U16(0x0C, 0xFFFF); U16(0x10, 0xB8); U16(0x18, 0x40); U32(0x3C, NtHeader);
        new byte[] { 0x0E, 0x1F, 0xBA, 0x0E, 0x00, 0xB4, 0x09, 0xCD, 0x21, 0xB8, 0x01, 0x4C, 0xCD, 0x21 }.CopyTo(bytes[0x40..]);
        "This program cannot be run in DOS mode.\r\r\n$"u8.CopyTo(bytes[0x4E..]);
        "PE\0\0"u8.CopyTo(bytes[NtHeader..]);
        U16(NtHeader + 4, Amd64);
        U16(NtHeader + 6, (ushort)Sections.Count);
        U32(NtHeader + 8, Timestamp);
        U16(NtHeader + 20, 0xF0);
        U16(NtHeader + 22, (ushort)(0x22 | (IsDll ? 0x2000 : 0)));
        U16(OptionalHeader, 0x20B);
        page[OptionalHeader + 2] = 14;
        page[OptionalHeader + 3] = 20;
        U32(OptionalHeader + 4, (uint)Sections.Where(s => s.IsCode).Sum(s => s.Size));
        U32(OptionalHeader + 8, (uint)Sections.Where(s => !s.IsCode).Sum(s => s.Size));
        U32(OptionalHeader + 16, EntryPoint);
        U32(OptionalHeader + 20, Sections[0].Rva);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[(OptionalHeader + 24)..], PreferredBase);
        U32(OptionalHeader + 32, 0x1000);
        U32(OptionalHeader + 36, 0x200);
        U16(OptionalHeader + 40, OsMajor); U16(OptionalHeader + 42, OsMinor);
        U16(OptionalHeader + 44, OsMajor); U16(OptionalHeader + 46, OsMinor);
        U16(OptionalHeader + 48, OsMajor); U16(OptionalHeader + 50, OsMinor);
        U32(OptionalHeader + 56, Size);
        U32(OptionalHeader + 60, 0x400);
        U32(OptionalHeader + 64, CheckSum);
        U16(OptionalHeader + 68, Subsystem);
        U16(OptionalHeader + 70, 0x4160);
        U64(OptionalHeader + 72, 0x80000); U64(OptionalHeader + 80, 0x2000); U64(OptionalHeader + 88, 0x100000); U64(OptionalHeader + 96, 0x1000);
        U32(OptionalHeader + 108, 16);
        U32(OptionalHeader + 112, Exports.Rva); U32(OptionalHeader + 116, Exports.Size);
        if (DebugDirectory != 0)
        {
            U32(OptionalHeader + 112 + 6 * 8, DebugDirectory);
            U32(OptionalHeader + 112 + 6 * 8 + 4, 28);
        }
        for (var i = 0; i < Sections.Count; i++)
        {
            var at = SectionTable + i * 40;
            Encoding.ASCII.GetBytes(Sections[i].Name).CopyTo(bytes[at..]);
            U32(at + 8, Sections[i].Size); U32(at + 12, Sections[i].Rva); U32(at + 16, Sections[i].Size); U32(at + 20, Sections[i].Rva);
            U32(at + 36, Sections[i].Characteristics);
        }
        return page;

        void U16(int at, int value) => BinaryPrimitives.WriteUInt16LittleEndian(page.AsSpan(at), (ushort)value);
        void U32(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(at), value);
        void U64(int at, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(at), value);
    }

    /// <summary>An export directory with its tables and names, to lie at <paramref name="rva"/>. Names are sorted as loaders search them.</summary>
    public static byte[] ExportDirectory(uint rva, string module, uint timestamp, IEnumerable<KeyValuePair<string, uint>> exports)
    {
        var sorted = exports.OrderBy(e => e.Key, StringComparer.Ordinal).ToArray();
        var functions = 40;
        var names = functions + sorted.Length * 4;
        var ordinals = names + sorted.Length * 4;
        var text = (ordinals + sorted.Length * 2 + 3) & ~3;
        var size = text + module.Length + 1 + sorted.Sum(e => e.Key.Length + 1);
        var bytes = new byte[size];
        void U32(int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(at), value);
        U32(4, timestamp);
        U32(12, rva + (uint)text);
        U32(16, 1);
        U32(20, (uint)sorted.Length);
        U32(24, (uint)sorted.Length);
        U32(28, rva + (uint)functions);
        U32(32, rva + (uint)names);
        U32(36, rva + (uint)ordinals);
        text += Encoding.ASCII.GetBytes(module, bytes.AsSpan(text)) + 1;
        for (var i = 0; i < sorted.Length; i++)
        {
            U32(functions + i * 4, sorted[i].Value);
            U32(names + i * 4, rva + (uint)text);
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(ordinals + i * 2), (ushort)i);
            text += Encoding.ASCII.GetBytes(sorted[i].Key, bytes.AsSpan(text)) + 1;
        }
        return bytes;
    }

    /// <summary>A debug directory of one CodeView entry with the record ("RSDS", GUID, age, PDB name) right behind it.</summary>
    public static byte[] Debug(uint rva, uint timestamp, ReadOnlySpan<byte> guid, uint age, string pdb)
    {
        var record = 24 + pdb.Length + 1;
        var bytes = new byte[28 + 4 + record];
        var span = bytes.AsSpan();
        BinaryPrimitives.WriteUInt32LittleEndian(span[4..], timestamp);
        BinaryPrimitives.WriteUInt32LittleEndian(span[12..], 2);
        BinaryPrimitives.WriteUInt32LittleEndian(span[16..], (uint)record);
        BinaryPrimitives.WriteUInt32LittleEndian(span[20..], rva + 32);
        BinaryPrimitives.WriteUInt32LittleEndian(span[24..], rva + 32);
        var at = span[32..];
        "RSDS"u8.CopyTo(at);
        guid.CopyTo(at[4..]);
        BinaryPrimitives.WriteUInt32LittleEndian(at[20..], age);
        Encoding.ASCII.GetBytes(pdb).CopyTo(at[24..]);
        return bytes;
    }
}
