using System.Text.Json;

namespace Forengate.Symbols;

/// <summary>
/// Types and symbols in Volatility 3's intermediate symbol format (JSON, schemas 4 to 6; docs/formats/isf.md), plain or packed by xz or zstd. Read once, token by token, then closed.
/// </summary>
public sealed class IsfFile : ISymbolTables
{
    private readonly Dictionary<string, TypeLayout> _types;
    private readonly Dictionary<string, EnumLayout> _enums;
    private readonly Dictionary<string, uint> _symbols;

    private IsfFile(string name, IsfReader reader)
    {
        Name = name;
        (_types, _enums, _symbols) = (reader.Types, reader.Enums, reader.Symbols);
        (CodeView, Machine, Version, PointerSize) = (reader.CodeView!, reader.Machine, reader.Version, reader.PointerSize);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public CodeViewRecord CodeView { get; }

    /// <inheritdoc/>
    public ushort Machine { get; }

    /// <inheritdoc/>
    public Version? Version { get; }

    /// <inheritdoc/>
    public int PointerSize { get; }

    /// <inheritdoc/>
    public IEnumerable<TypeLayout> Types => _types.Values;

    /// <inheritdoc/>
    public IEnumerable<EnumLayout> Enums => _enums.Values;

    /// <inheritdoc/>
    public IEnumerable<KeyValuePair<string, uint>> Symbols => _symbols;

    /// <summary>Always empty: half an ISF file is none.</summary>
    public IReadOnlyList<string> Damage => [];

    /// <summary>Opens a file.</summary>
    /// <exception cref="SymbolFormatException">It is no ISF file of a Windows image, or damaged, or packed with a library that is not installed.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static IsfFile Open(string path, SymbolLimits? limits = null)
    {
        using var file = File.OpenRead(path);
        return Open(path, file, limits);
    }

    /// <summary>Reads an ISF file from a stream.</summary>
    /// <exception cref="SymbolFormatException">It is no ISF file of a Windows image, or damaged.</exception>
    public static IsfFile Open(string name, Stream stream, SymbolLimits? limits = null) => new(name, Read(name, stream, limits, stopAtIdentity: false));

    /// <summary>Says which image a file belongs to; null where it is no ISF file of a Windows image. Reads only up to where the file says so.</summary>
    public static CodeViewRecord? Identify(string path)
    {
        try
        {
            using var file = File.OpenRead(path);
            return Read(path, file, null, stopAtIdentity: true).CodeView;
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public TypeLayout? FindType(string name) => _types.GetValueOrDefault(name);

    /// <summary>An enumeration by name; null where there is none.</summary>
    public EnumLayout? FindEnum(string name) => _enums.GetValueOrDefault(name);

    /// <inheritdoc/>
    public uint? RvaOf(string name) => _symbols.TryGetValue(name, out var rva) ? rva : null;

    private static IsfReader Read(string name, Stream stream, SymbolLimits? limits, bool stopAtIdentity)
    {
        var reader = new IsfReader(limits ?? SymbolLimits.Default, stopAtIdentity);
        using var plain = SymbolFileKind.Unpack(stream);
        try
        {
            reader.Read(plain);
        }
        catch (JsonException damaged)
        {
            var place = damaged.LineNumber is { } line ? $" (line {line + 1}, byte {damaged.BytePositionInLine})" : "";
            throw new SymbolFormatException($"{name} is no ISF file, or damaged{place}: {damaged.Message.Split('\n')[0]}", damaged);
        }
        catch (InvalidOperationException damaged)
        {
            // What Utf8JsonReader says of texts that are no UTF-8.
            throw new SymbolFormatException($"{name} is no ISF file, or damaged: {damaged.Message.Split('\n')[0]}", damaged);
        }
        catch (SymbolFormatException damaged)
        {
            throw new SymbolFormatException($"{name}: {damaged.Message}", damaged);
        }
        return reader.CodeView is not null
            ? reader
            : throw new SymbolFormatException($"{name} is no ISF file of a Windows image: it has no metadata.windows.pdb with GUID and age");
    }
}
