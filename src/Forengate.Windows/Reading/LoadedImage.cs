using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// The header of a PE image as it lies loaded in guest memory. Only the pages asked for are read: those behind the header may be gone (discarded, paged out).
/// </summary>
/// <remarks>Offsets: Microsoft PE format specification ("MS-DOS stub", "COFF file header", "Optional header", "The .debug section").</remarks>
/// <param name="Base">Where it is loaded.</param>
/// <param name="Machine">IMAGE_FILE_MACHINE.</param>
/// <param name="TimeDateStamp">Link time, or a hash in reproducible builds.</param>
/// <param name="Is64Bit">PE32+.</param>
/// <param name="SizeOfImage">In bytes.</param>
/// <param name="EntryPoint">AddressOfEntryPoint, an RVA.</param>
/// <param name="DebugDirectory">RVA and size of the debug directory; both zero where there is none.</param>
internal readonly record struct LoadedImage(
    VirtualAddress Base, ushort Machine, uint TimeDateStamp, bool Is64Bit, uint SizeOfImage, uint EntryPoint, (uint Rva, uint Size) DebugDirectory)
{
    public const ushort Amd64 = 0x8664;
    public const ushort Mz = 0x5A4D;

    /// <summary>Bytes of a CodeView record read at most.</summary>
    public const int MaxCodeView = CodeViewRecord.RsdsNameOffset + CodeViewRecord.MaxNameLength;

    private const int NtHeaderPointer = 0x3C;
    private const uint PeSignature = 0x0000_4550;
    private const int FileHeader = 4;
    private const int OptionalHeader = 24;
    private const ushort Pe32Plus = 0x20B;
    private const ushort Pe32 = 0x10B;
    private const int EntryPointField = 16;
    private const int SizeOfImageField = 56;
    private const int Directories32 = 96;
    private const int Directories64 = 112;
    private const int DebugDirectoryIndex = 6;
    private const int DebugEntrySize = 28;
    private const int MaxDebugEntries = 16;
    private const uint CodeViewType = 2;

    /// <summary>Parses a header from its page; null where it is none.</summary>
    public static LoadedImage? Parse(VirtualAddress at, ReadOnlySpan<byte> page)
    {
        if (page.Length < 0x40 || BinaryPrimitives.ReadUInt16LittleEndian(page) != Mz)
            return null;
        var nt = BinaryPrimitives.ReadUInt32LittleEndian(page[NtHeaderPointer..]);
        if (nt % 4 != 0 || nt > page.Length - 0x100)
            return null;
        var headers = page[(int)nt..];
        if (BinaryPrimitives.ReadUInt32LittleEndian(headers) != PeSignature)
            return null;
        var optional = headers[OptionalHeader..];
        var magic = BinaryPrimitives.ReadUInt16LittleEndian(optional);
        if (magic is not (Pe32 or Pe32Plus))
            return null;
        var directories = optional[(magic == Pe32Plus ? Directories64 : Directories32)..];
        var count = BinaryPrimitives.ReadUInt32LittleEndian(optional[((magic == Pe32Plus ? Directories64 : Directories32) - 4)..]);
        (uint, uint) debug = default;
        if (count > DebugDirectoryIndex)
        {
            var entry = directories[(DebugDirectoryIndex * 8)..];
            debug = (BinaryPrimitives.ReadUInt32LittleEndian(entry), BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]));
        }
        return new LoadedImage(
            at, BinaryPrimitives.ReadUInt16LittleEndian(headers[FileHeader..]), BinaryPrimitives.ReadUInt32LittleEndian(headers[(FileHeader + 4)..]),
            magic == Pe32Plus, BinaryPrimitives.ReadUInt32LittleEndian(optional[SizeOfImageField..]),
            BinaryPrimitives.ReadUInt32LittleEndian(optional[EntryPointField..]), debug);
    }

    /// <summary>Reads and parses the header at an address.</summary>
    public static LoadedImage? Read(AddressSpace space, VirtualAddress at)
    {
        Span<byte> page = stackalloc byte[Page.Size];
        return space.TryRead(at, page) ? Parse(at, page) : null;
    }

    /// <summary>The CodeView record the debug directory names; null where there is none or its page is gone.</summary>
    public CodeViewRecord? ReadCodeView(AddressSpace space)
    {
        var (rva, size) = DebugDirectory;
        if (rva == 0 || rva >= SizeOfImage)
            return null;
        Span<byte> entry = stackalloc byte[DebugEntrySize];
        Span<byte> buffer = stackalloc byte[MaxCodeView];
        var entries = Math.Min(size / DebugEntrySize, MaxDebugEntries);
        for (var i = 0u; i < entries; i++)
        {
            if (!space.TryRead(Base + rva + (i * DebugEntrySize), entry))
                return null;
            var length = BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]);
            var data = BinaryPrimitives.ReadUInt32LittleEndian(entry[20..]);
            if (BinaryPrimitives.ReadUInt32LittleEndian(entry[12..]) != CodeViewType || data == 0 || data >= SizeOfImage || length <= CodeViewRecord.RsdsNameOffset)
                continue;
            var record = buffer[..(int)Math.Min(length, (uint)buffer.Length)];
            record = record[..space.Read(Base + data, record)];
            if (CodeViewRecord.Parse(record) is { } codeView)
                return codeView;
        }
        return null;
    }
}
