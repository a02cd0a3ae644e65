using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>The ELF file header, of either class, as far as a core needs it (System V ABI, gABI 4+, chapters 4 and 5).</summary>
internal readonly record struct ElfHeader(bool Is64, ushort Machine, ulong ProgramHeaders, ushort ProgramHeaderSize, ushort ProgramHeaderCount, ulong SectionHeaders)
{
    public const ushort MachineI386 = 3;
    public const ushort MachineX64 = 62;

    /// <summary>e_phnum's value for "more than fit in 16 bits: see sh_info of section header 0".</summary>
    public const ushort ManyProgramHeaders = 0xFFFF;

    public const int ProgramHeaderSize32 = 32;
    public const int ProgramHeaderSize64 = 56;

    private const int ClassAt = 4;
    private const int DataAt = 5;
    private const byte Class32 = 1;
    private const byte Class64 = 2;
    private const byte LittleEndian = 1;
    private const int TypeAt = 16;
    private const int MachineAt = 18;
    private const ushort TypeCore = 4;
    private const int Size32 = 52;
    private const int Size64 = 64;

    private const int VersionAt = 20;
    private const int HeaderSizeAt64 = 52;
    private const int ShEntSize64 = 58;
    private const int ShNum64 = 60;
    private const ushort SectionHeaderSize64 = 64;

    // e_phoff, e_shoff, e_phentsize, e_phnum
    private const int PhOff64 = 32;
    private const int ShOff64 = 40;
    private const int PhEntSize64 = 54;
    private const int PhNum64 = 56;
    private const int PhOff32 = 28;
    private const int ShOff32 = 32;
    private const int PhEntSize32 = 42;
    private const int PhNum32 = 44;

    /// <summary>Where sh_info lies in a section header.</summary>
    public int SectionInfoAt => Is64 ? 44 : 28;

    /// <summary>True for any ELF core, of whatever machine and byte order.</summary>
    public static bool IsCore(ReadOnlySpan<byte> head) =>
        head.Length > MachineAt && head.StartsWith("\u007fELF"u8)
        && (head[DataAt] == LittleEndian ? BinaryPrimitives.ReadUInt16LittleEndian(head[TypeAt..]) : BinaryPrimitives.ReadUInt16BigEndian(head[TypeAt..])) == TypeCore;

    /// <summary>Reads the header of a core of an x86 machine.</summary>
    /// <returns>null when all is well, else why not, as the end of a sentence.</returns>
    public static string? Parse(ReadOnlySpan<byte> head, out ElfHeader header)
    {
        header = default;
        if (head[DataAt] != LittleEndian)
            return "is a core of a big-endian machine, which Windows does not run on";
        var is64 = head[ClassAt] == Class64;
        if (!is64 && head[ClassAt] != Class32)
            return $"is an ELF core of unknown class {head[ClassAt]}";
        if (head.Length < (is64 ? Size64 : Size32))
            return $"is an ELF core cut off within its header, after {head.Length} bytes";
        var machine = BinaryPrimitives.ReadUInt16LittleEndian(head[MachineAt..]);
        if (machine is not (MachineI386 or MachineX64))
            return $"is an ELF core of another processor (machine {machine}); only x86 and x64 are read";
        header = is64
            ? new ElfHeader(
                true, machine,
                BinaryPrimitives.ReadUInt64LittleEndian(head[PhOff64..]),
                BinaryPrimitives.ReadUInt16LittleEndian(head[PhEntSize64..]),
                BinaryPrimitives.ReadUInt16LittleEndian(head[PhNum64..]),
                BinaryPrimitives.ReadUInt64LittleEndian(head[ShOff64..]))
            : new ElfHeader(
                false, machine,
                BinaryPrimitives.ReadUInt32LittleEndian(head[PhOff32..]),
                BinaryPrimitives.ReadUInt16LittleEndian(head[PhEntSize32..]),
                BinaryPrimitives.ReadUInt16LittleEndian(head[PhNum32..]),
                BinaryPrimitives.ReadUInt32LittleEndian(head[ShOff32..]));
        var least = is64 ? ProgramHeaderSize64 : ProgramHeaderSize32;
        return header.ProgramHeaderSize < least ? $"is a broken ELF core: its program headers of {header.ProgramHeaderSize} bytes are too short" : null;
    }

    /// <summary>Writes the header of a 64-bit file behind e_ident, which the caller writes; with a section header where <see cref="SectionHeaders"/> is not 0.</summary>
    public void Write(Span<byte> bytes, ushort type)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[TypeAt..], type);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[MachineAt..], Machine);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[VersionAt..], 1);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[PhOff64..], ProgramHeaders);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[ShOff64..], SectionHeaders);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[HeaderSizeAt64..], Size64);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[PhEntSize64..], ProgramHeaderSize);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[PhNum64..], ProgramHeaderCount);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[ShEntSize64..], SectionHeaders == 0 ? (ushort)0 : SectionHeaderSize64);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[ShNum64..], SectionHeaders == 0 ? (ushort)0 : (ushort)1);
    }
}
