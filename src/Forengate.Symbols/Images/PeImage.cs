using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace Forengate.Symbols;

/// <summary>
/// The headers of a PE image as it lies loaded, and what they lead to. Made for images in guest memory: nothing is believed before it was checked, pages behind
/// the header may be missing, and whatever can't be read or makes no sense is a reason, never an exception.
/// </summary>
/// <remarks>Offsets and limits: Microsoft's "PE Format" specification.</remarks>
public sealed class PeImage
{
    /// <summary>Bytes that hold the headers of any image met so far: one page.</summary>
    public const int HeaderPageSize = 0x1000;

    /// <summary>The most sections believed: what the Windows loader accepts.</summary>
    public const int MaxSections = 96;

    /// <summary>The most debug directory entries looked at; linkers write up to seven.</summary>
    public const int MaxDebugEntries = 32;

    /// <summary>The largest image believed, in bytes.</summary>
    public const uint MaxImageSize = 0x4000_0000;

    private const ushort DosMagic = 0x5A4D;
    private const int DosHeaderSize = 0x40;
    private const int NtHeaderOffset = 0x3C;
    private const uint NtSignature = 0x0000_4550;

    // From the NT signature.
    private const int MachineOffset = 4;
    private const int SectionCountOffset = 6;
    private const int TimeDateStampOffset = 8;
    private const int OptionalSizeOffset = 20;
    private const int CharacteristicsOffset = 22;
    private const int OptionalOffset = 24;

    // From the optional header.
    private const ushort Pe32 = 0x10B;
    private const ushort Pe32Plus = 0x20B;
    private const int EntryPointOffset = 16;
    private const int ImageBase64Offset = 24;
    private const int ImageBase32Offset = 28;
    private const int SectionAlignmentOffset = 32;
    private const int SizeOfImageOffset = 56;
    private const int SizeOfHeadersOffset = 60;
    private const int CheckSumOffset = 64;
    private const int SubsystemOffset = 68;
    private const int Directories32Offset = 96;
    private const int Directories64Offset = 112;
    private const int DirectorySize = 8;
    private const int MaxDirectories = 16;

    private const int SectionSize = 40;
    private const int SectionNameSize = 8;

    private const int DebugEntrySize = 28;
    private const int DebugTypeOffset = 12;
    private const int DebugDataSizeOffset = 16;
    private const int DebugDataRvaOffset = 20;
    private const uint DebugTypeCodeView = 2;

    private readonly PeDirectoryPlace[] _directories;

    private PeImage(PeDirectoryPlace[] directories, PeSection[] sections) => (_directories, Sections) = (directories, sections);

    /// <summary>IMAGE_FILE_MACHINE: 0x8664 for x64.</summary>
    public ushort Machine { get; private init; }

    /// <summary>Link time in seconds since 1970, or, in reproducible builds, a hash.</summary>
    public uint TimeDateStamp { get; private init; }

    /// <summary>IMAGE_FILE flags.</summary>
    public ushort Characteristics { get; private init; }

    /// <summary>PE32+.</summary>
    public bool Is64Bit { get; private init; }

    /// <summary>RVA of the entry point; 0 where there is none.</summary>
    public uint EntryPoint { get; private init; }

    /// <summary>Where the linker, or the loader after it, says the image begins.</summary>
    public ulong ImageBase { get; private init; }

    public uint SectionAlignment { get; private init; }

    /// <summary>Bytes the loaded image spans; at most <see cref="MaxImageSize"/>.</summary>
    public uint SizeOfImage { get; private init; }

    public uint SizeOfHeaders { get; private init; }

    /// <summary>The checksum in the header; not computed anew.</summary>
    public uint CheckSum { get; private init; }

    /// <summary>IMAGE_SUBSYSTEM: 1 for drivers and the kernel.</summary>
    public ushort Subsystem { get; private init; }

    /// <summary>The sections in the order of their headers; those whose headers lie behind the bytes given are left out.</summary>
    public IReadOnlyList<PeSection> Sections { get; }

    /// <summary>Whether <see cref="Sections"/> lacks some because their headers were not among the bytes given.</summary>
    public bool SectionsCutOff { get; private init; }

    /// <summary>Where a data directory lies; empty where the image has none.</summary>
    public PeDirectoryPlace Directory(PeDirectory directory) => (uint)directory < (uint)_directories.Length ? _directories[(int)directory] : default;

    /// <summary>Reads and parses the headers of a loaded image.</summary>
    public static bool TryRead(IImageBytes bytes, [NotNullWhen(true)] out PeImage? image, [NotNullWhen(false)] out string? reason)
    {
        Span<byte> page = stackalloc byte[HeaderPageSize];
        image = null;
        reason = "its header page is not there";
        return bytes.TryRead(0, page) && TryParse(page, out image, out reason);
    }

    /// <summary>Parses headers.</summary>
    /// <param name="header">The image's first bytes: a page will do.</param>
    /// <param name="image">The image.</param>
    /// <param name="reason">Why it is none, in one line.</param>
    public static bool TryParse(ReadOnlySpan<byte> header, [NotNullWhen(true)] out PeImage? image, [NotNullWhen(false)] out string? reason)
    {
        image = null;
        if (header.Length < DosHeaderSize || U16(header, 0) != DosMagic)
            return Fail("no MZ at its start", out reason);
        var nt = U32(header, NtHeaderOffset);
        if (nt % 4 != 0 || nt > (uint)header.Length || header.Length - (int)nt < OptionalOffset + Directories64Offset)
            return Fail($"its NT header at 0x{nt:x} lies outside of the {header.Length:#,0} bytes at hand", out reason);
        var headers = header[(int)nt..];
        if (U32(headers, 0) != NtSignature)
            return Fail($"no PE signature at 0x{nt:x}", out reason);
        var optional = headers[OptionalOffset..];
        var magic = U16(optional, 0);
        if (magic is not (Pe32 or Pe32Plus))
            return Fail($"its optional header is of the unknown form 0x{magic:x}", out reason);
        var size = U32(optional, SizeOfImageOffset);
        if (size is 0 or > MaxImageSize)
            return Fail($"it says to span {size:#,0} bytes", out reason);
        var optionalSize = U16(headers, OptionalSizeOffset);
        var directoriesOffset = magic == Pe32Plus ? Directories64Offset : Directories32Offset;
        if (optionalSize < directoriesOffset)
            return Fail($"its optional header of {optionalSize} bytes is too short", out reason);
        var directories = ReadDirectories(optional[..Math.Min(optionalSize, optional.Length)], directoriesOffset);
        var sectionCount = U16(headers, SectionCountOffset);
        if (sectionCount > MaxSections)
            return Fail($"it says to have {sectionCount} sections", out reason);
        var sections = ReadSections(headers, OptionalOffset + optionalSize, sectionCount);
        image = new PeImage(directories, sections)
        {
            Machine = U16(headers, MachineOffset),
            TimeDateStamp = U32(headers, TimeDateStampOffset),
            Characteristics = U16(headers, CharacteristicsOffset),
            Is64Bit = magic == Pe32Plus,
            EntryPoint = U32(optional, EntryPointOffset),
            ImageBase = magic == Pe32Plus ? BinaryPrimitives.ReadUInt64LittleEndian(optional[ImageBase64Offset..]) : U32(optional, ImageBase32Offset),
            SectionAlignment = U32(optional, SectionAlignmentOffset),
            SizeOfImage = size,
            SizeOfHeaders = U32(optional, SizeOfHeadersOffset),
            CheckSum = U32(optional, CheckSumOffset),
            Subsystem = U16(optional, SubsystemOffset),
            SectionsCutOff = sections.Length < sectionCount,
        };
        reason = null;
        return true;
    }

    /// <summary>The section an RVA lies in; null where none does.</summary>
    public PeSection? SectionAt(uint rva)
    {
        foreach (var section in Sections)
        {
            if (rva >= section.VirtualAddress && rva - section.VirtualAddress < Math.Max(section.VirtualSize, section.RawSize))
                return section;
        }
        return null;
    }

    /// <summary>The CodeView record: which PDB belongs to the image.</summary>
    /// <param name="bytes">The loaded image.</param>
    /// <param name="codeView">The record.</param>
    /// <param name="reason">Why there is none, in one line.</param>
    public bool TryReadCodeView(IImageBytes bytes, [NotNullWhen(true)] out CodeViewRecord? codeView, [NotNullWhen(false)] out string? reason)
    {
        codeView = null;
        var directory = Directory(PeDirectory.Debug);
        if (directory.IsEmpty)
            return Fail("it has no debug directory", out reason);
        Span<byte> entry = stackalloc byte[DebugEntrySize];
        Span<byte> record = stackalloc byte[CodeViewRecord.RsdsNameOffset + CodeViewRecord.MaxNameLength];
        var entries = Math.Min(directory.Size / DebugEntrySize, MaxDebugEntries);
        reason = "its debug directory names no PDB";
        for (var i = 0u; i < entries; i++)
        {
            if (!IsInside(directory.Rva, (i * DebugEntrySize) + DebugEntrySize) || !bytes.TryRead(directory.Rva + (i * DebugEntrySize), entry))
                return Fail($"its debug directory at 0x{directory.Rva:x} is not there", out reason);
            var (size, rva) = (U32(entry, DebugDataSizeOffset), U32(entry, DebugDataRvaOffset));
            if (U32(entry, DebugTypeOffset) != DebugTypeCodeView || rva == 0)
                continue;
            if (size <= CodeViewRecord.RsdsNameOffset || !IsInside(rva, size))
            {
                reason = $"its CodeView record is said to be {size:#,0} bytes at 0x{rva:x}";
                continue;
            }
            var wanted = record[..(int)Math.Min(size, (uint)record.Length)];
            // The name may run into a page that is gone: GUID and age alone still name the build, but the record needs its name.
            if (!bytes.TryRead(rva, wanted))
                reason = $"its CodeView record at 0x{rva:x} is not there";
            else if ((codeView = CodeViewRecord.Parse(wanted)) is not null)
                return true;
            else
                reason = $"what lies at 0x{rva:x} is no RSDS record";
        }
        return false;
    }

    /// <summary>Whether so many bytes from an RVA on lie within the image.</summary>
    internal bool IsInside(uint rva, uint size) => rva <= SizeOfImage && size <= SizeOfImage - rva;

    private static PeDirectoryPlace[] ReadDirectories(ReadOnlySpan<byte> optional, int offset)
    {
        var said = U32(optional, offset - sizeof(uint));
        var directories = new PeDirectoryPlace[Math.Min(Math.Min(said, MaxDirectories), (uint)((optional.Length - offset) / DirectorySize))];
        for (var i = 0; i < directories.Length; i++)
            directories[i] = new PeDirectoryPlace(U32(optional, offset + (i * DirectorySize)), U32(optional, offset + (i * DirectorySize) + sizeof(uint)));
        return directories;
    }

    private static PeSection[] ReadSections(ReadOnlySpan<byte> headers, int offset, int count)
    {
        var sections = new PeSection[Math.Min(count, Math.Max(0, (headers.Length - offset) / SectionSize))];
        for (var i = 0; i < sections.Length; i++)
        {
            var header = headers.Slice(offset + (i * SectionSize), SectionSize);
            sections[i] = new PeSection(Printable(header[..SectionNameSize]), U32(header, 12), U32(header, 8), U32(header, 20), U32(header, 16), U32(header, 36));
        }
        return sections;
    }

    private static string Printable(ReadOnlySpan<byte> name)
    {
        Span<char> text = stackalloc char[SectionNameSize];
        var length = name.IndexOf((byte)0) is var end and >= 0 ? end : name.Length;
        for (var i = 0; i < length; i++)
            text[i] = name[i] is >= 0x20 and <= 0x7E ? (char)name[i] : '?';
        return new string(text[..length]);
    }

    private static bool Fail(string why, out string reason)
    {
        reason = why;
        return false;
    }

    private static ushort U16(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[offset..]);

    private static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
}
