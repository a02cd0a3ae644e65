using System.Buffers.Binary;

namespace Forengate.Symbols;

/// <summary>The DBI stream: which image the PDB belongs to, what it was linked from, and where symbols and section headers are.</summary>
internal sealed class DbiStream
{
    // The header (llvm.org/docs/PDB/DbiStream.html; microsoft-pdb dbi.h, NewDBIHdr).
    private const int SignatureOffset = 0;
    private const int AgeOffset = 8;
    private const int SymbolStreamOffset = 20;
    private const int ModulesLengthOffset = 24;
    /// <summary>i32 each: modules, section contributions, section map, files, type servers; behind one more number the debug header and the edit-and-continue names.</summary>
    private const int PartLengthsOffset = 24;
    private const int PartsBeforeEdit = 5;
    private const int DebugHeaderLengthOffset = 48;
    private const int EditNamesLengthOffset = 52;
    private const int MachineOffset = 58;
    public const int HeaderLength = 64;
    private const uint NewSignature = 0xFFFFFFFF;

    // The optional debug header: u16 stream numbers.
    private const int OmapFromSourceIndex = 4;
    private const int SectionHeadersIndex = 5;
    private const int OriginalSectionHeadersIndex = 10;

    // A module: fixed part, then two texts, then padding to four bytes.
    private const int ModuleStreamOffset = 34;
    private const int ModuleNamesOffset = 64;

    public const int NoStream = 0xFFFF;

    private readonly byte[] _bytes;

    private DbiStream(byte[] bytes) => _bytes = bytes;

    /// <summary>Age as the image's CodeView record has it; the PDB's own counts further.</summary>
    public uint Age => U32(AgeOffset);

    /// <summary>PE machine type.</summary>
    public ushort Machine => U16(MachineOffset);

    /// <summary>The stream of symbol records.</summary>
    public int SymbolStream => U16(SymbolStreamOffset);

    public int OmapFromSource { get; private init; } = NoStream;

    public int SectionHeaders { get; private init; } = NoStream;

    public int OriginalSectionHeaders { get; private init; } = NoStream;

    /// <summary>Reads the stream; null where it has no header. The header alone is enough for what it says itself.</summary>
    public static DbiStream? Read(byte[] bytes, List<string> damage)
    {
        if (bytes.Length < HeaderLength || BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(SignatureOffset)) != NewSignature)
            return null;
        var header = new DbiStream(bytes);
        long start = HeaderLength;
        for (var part = 0; part < PartsBeforeEdit; part++)
            start += header.U32(PartLengthsOffset + (part * sizeof(uint)));
        start += header.U32(EditNamesLengthOffset);
        var length = header.U32(DebugHeaderLengthOffset);
        if (bytes.Length == HeaderLength)
            return header;
        if (start + length > bytes.Length)
        {
            damage.Add($"DBI stream: its debug header would lie at byte 0x{start:x} of 0x{bytes.Length:x}");
            return header;
        }
        int At(int index) => (index + 1) * sizeof(ushort) <= length ? header.U16((int)start + (index * sizeof(ushort))) : NoStream;
        return new DbiStream(bytes)
        {
            OmapFromSource = At(OmapFromSourceIndex), SectionHeaders = At(SectionHeadersIndex), OriginalSectionHeaders = At(OriginalSectionHeadersIndex),
        };
    }

    /// <summary>The objects that the image was linked from, as far as they can be read.</summary>
    public IReadOnlyList<PdbModule> Modules()
    {
        var modules = new List<PdbModule>();
        var rest = _bytes.AsSpan(HeaderLength, (int)Math.Min(U32(ModulesLengthOffset), (uint)_bytes.Length - HeaderLength));
        while (rest.Length > ModuleNamesOffset)
        {
            var stream = BinaryPrimitives.ReadUInt16LittleEndian(rest[ModuleStreamOffset..]);
            var cursor = new ByteCursor(rest[ModuleNamesOffset..]);
            var (name, file) = (cursor.Name(), cursor.Name());
            if (cursor.Failed)
                break;
            modules.Add(new PdbModule(name, file, stream == NoStream ? null : stream));
            var used = rest.Length - cursor.Left;
            rest = rest[Math.Min(rest.Length, (used + 3) & ~3)..];
        }
        return modules;
    }

    private ushort U16(int offset) => BinaryPrimitives.ReadUInt16LittleEndian(_bytes.AsSpan(offset));

    private uint U32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_bytes.AsSpan(offset));
}
