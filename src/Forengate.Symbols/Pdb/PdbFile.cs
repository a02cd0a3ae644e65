using System.Text;

namespace Forengate.Symbols;

/// <summary>
/// A program database of Microsoft's linker (MSF 7, docs/formats/pdb.md): the types and symbols of one image. Streams are read when they are first needed.
/// A damaged file is read as far as it goes, and <see cref="Damage"/> says what is missing. Not safe for concurrent use.
/// </summary>
public sealed class PdbFile : ISymbolTables, IDisposable
{
    /// <summary>More lines on damage say nothing new.</summary>
    internal const int MaxDamageLines = 100;

    // Streams with fixed numbers.
    private const int InfoStream = 1;
    private const int TypesStream = 2;
    private const int DbiStreamNumber = 3;
    private const int IdsStream = 4;

    private const ushort MachineX86 = 0x014C;
    private const ushort MachineArm = 0x01C4;

    private readonly MsfFile _file;
    private readonly SymbolLimits _limits;
    private readonly PdbInfo _info;
    private readonly DbiStream? _dbi;
    private readonly List<string> _damage = [];

    private PdbFile(MsfFile file, string name, SymbolLimits limits)
    {
        (_file, Name, _limits) = (file, name, limits);
        _info = file.Read(InfoStream) is { } bytes && PdbInfo.Read(bytes) is { } info
            ? info
            : throw new SymbolFormatException($"{name} is damaged: its stream 1, which says to which image it belongs, cannot be read; get it anew");
        if (file.LengthOf(DbiStreamNumber) is > 0)
        {
            if (file.Read(DbiStreamNumber) is { } dbi)
                _dbi = DbiStream.Read(dbi, _damage);
            if (_dbi is null)
                _damage.Add("DBI stream: it cannot be read, so there are no symbols and the age may be wrong");
        }
        CodeView = new CodeViewRecord(NameOf(name), _info.Guid, _dbi?.Age ?? _info.Age);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>The image it belongs to. The age is that of the DBI stream, which the image's record has; <see cref="OwnAge"/> may be higher. The name is the file's.</summary>
    public CodeViewRecord CodeView { get; }

    /// <summary>How often the file was written: tools that strip or index it count on.</summary>
    public uint OwnAge => _info.Age;

    /// <inheritdoc/>
    public ushort Machine => _dbi?.Machine ?? 0;

    /// <summary>A PDB does not say its image's version.</summary>
    public Version? Version => null;

    /// <inheritdoc/>
    public int PointerSize => Machine is MachineX86 or MachineArm ? 4 : 8;

    /// <summary>Streams that have names, such as "/names".</summary>
    public IReadOnlyDictionary<string, int> NamedStreams => _info.NamedStreams;

    /// <summary>What the image was linked from.</summary>
    public IReadOnlyList<PdbModule> Modules => field ??= _dbi?.Modules() ?? [];

    /// <inheritdoc/>
    public IReadOnlyList<string> Damage => _damage;

    /// <inheritdoc/>
    public IEnumerable<TypeLayout> Types => Catalog.Types;

    /// <inheritdoc/>
    public IEnumerable<EnumLayout> Enums => Catalog.Enums;

    /// <summary>Every symbol record that is understood, in the order of the file.</summary>
    public IEnumerable<PdbSymbol> SymbolRecords => Records().Read();

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, uint>> Symbols => Addresses;

    private TypeCatalog Catalog => field ??= OpenCatalog();

    private Dictionary<string, uint> Addresses => field ??= IndexSymbols();

    /// <summary>Opens a file.</summary>
    /// <exception cref="SymbolFormatException">It is no PDB, of a format that is not read, or its directory is damaged.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static PdbFile Open(string path, SymbolLimits? limits = null) => Open(new PdbBytes(path), path, limits);

    /// <summary>Opens a PDB that lies in memory.</summary>
    /// <param name="name">What to call it in messages; its last part is the name of the CodeView record.</param>
    /// <param name="bytes">The whole file, not to be changed.</param>
    /// <param name="limits">What is believed of it.</param>
    /// <exception cref="SymbolFormatException">It is no PDB, of a format that is not read, or its directory is damaged.</exception>
    public static PdbFile Open(string name, ReadOnlyMemory<byte> bytes, SymbolLimits? limits = null) => Open(new PdbBytes(bytes), name, limits);

    /// <summary>Says which image a file belongs to without reading more than that takes; null where it is no PDB or cannot be read.</summary>
    public static CodeViewRecord? Identify(string path)
    {
        try
        {
            using var all = new PdbBytes(path);
            using var file = MsfFile.Open(all, path, SymbolLimits.Default);
            if (file.Read(InfoStream, PdbInfo.HeaderLength) is not { } bytes || PdbInfo.Read(bytes) is not { } info)
                return null;
            var dbi = file.Read(DbiStreamNumber, DbiStream.HeaderLength) is { } header ? DbiStream.Read(header, []) : null;
            return new CodeViewRecord(NameOf(path), info.Guid, dbi?.Age ?? info.Age);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public TypeLayout? FindType(string name) => Catalog.FindType(name);

    /// <summary>An enumeration by name; null where there is none.</summary>
    public EnumLayout? FindEnum(string name) => Catalog.FindEnum(name);

    /// <summary>A type by its number in the TPI stream, as symbols name it.</summary>
    public TypeReference TypeAt(uint index) => Catalog.Reference(index);

    /// <summary>
    /// Address of a public symbol, or a variable where no public has the name, relative to the image's base. A name without the underscore that it is linked with is known too:
    /// every C name has one on x86, the compiler's own everywhere, and tables made by Volatility have none of them.
    /// </summary>
    public uint? RvaOf(string name) =>
        Addresses.TryGetValue(name, out var rva) || Addresses.TryGetValue($"_{name}", out rva) ? rva : null;

    /// <summary>Texts of the IPI stream: the paths and commands of the build, where the PDB still has them.</summary>
    public IEnumerable<string> Texts()
    {
        if (_file.Read(IdsStream) is not { } bytes)
            yield break;
        var records = TypeStream.Read(bytes, "IPI stream", _limits, []);
        for (var index = TypeStream.FirstIndex; index < records.End; index++)
        {
            if (records.TryGet(index, out var leaf, out var body) && leaf == CodeViewLeaf.StringId && body.Length > sizeof(uint))
                yield return Encoding.UTF8.GetString(new ByteCursor(body[sizeof(uint)..]).Text());
        }
    }

    public void Dispose() => _file.Dispose();

    private static PdbFile Open(PdbBytes bytes, string name, SymbolLimits? limits)
    {
        try
        {
            return new PdbFile(MsfFile.Open(bytes, name, limits ?? SymbolLimits.Default), name, limits ?? SymbolLimits.Default);
        }
        catch
        {
            bytes.Dispose();
            throw;
        }
    }

    private static string NameOf(string path) => path[(path.LastIndexOfAny(['/', '\\']) + 1)..];

    private TypeCatalog OpenCatalog()
    {
        var bytes = _file.Read(TypesStream);
        if (bytes is null)
            _damage.Add("TPI stream: it cannot be read, so there are no types");
        return new TypeCatalog(TypeStream.Read(bytes ?? [], "TPI stream", _limits, _damage), PointerSize, _limits, _damage);
    }

    private SymbolRecords Records()
    {
        // Kernels up to Windows 7 were rearranged after linking: symbols lie in the sections as linked, and the OMAP leads from there.
        var rearranged = _dbi is { OriginalSectionHeaders: not DbiStream.NoStream };
        var sections = Stream(rearranged ? _dbi!.OriginalSectionHeaders : _dbi?.SectionHeaders, "section headers");
        var omap = rearranged ? Stream(_dbi!.OmapFromSource, "OMAP") : [];
        return new SymbolRecords(Stream(_dbi?.SymbolStream, "symbol records"), new PdbAddresses(sections, omap));
    }

    private byte[] Stream(int? number, string what)
    {
        if (number is null or DbiStream.NoStream)
            return [];
        if (_file.Read(number.Value) is { } bytes)
            return bytes;
        _damage.Add($"{what}: stream {number} cannot be read");
        return [];
    }

    private Dictionary<string, uint> IndexSymbols()
    {
        var addresses = new Dictionary<string, uint>(StringComparer.Ordinal);
        var variables = new List<(string Name, uint Rva)>();
        var records = Records();
        foreach (var symbol in records.Read())
        {
            if (symbol.Rva is not { } rva)
                continue;
            if (symbol.Kind == PdbSymbolKind.Public)
                addresses[symbol.Name] = rva;
            else
                variables.Add((symbol.Name, rva));
        }
        foreach (var (name, rva) in variables)
            addresses.TryAdd(name, rva);
        if (records.Left > 0)
            _damage.Add($"symbol records: damaged behind byte 0x{records.ReadUpTo:x}, {records.Left} bytes are not read");
        return addresses;
    }
}
