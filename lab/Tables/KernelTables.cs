using System.Diagnostics.CodeAnalysis;

namespace Forengate.Lab.Tables;

/// <summary>
/// Types and globals of one kernel build. Every look-up is noted in <see cref="Use"/>, so that the carried tables hold just what an image needs.
/// </summary>
internal sealed class KernelTables
{
    private readonly IReadOnlyDictionary<string, KernelType> _types;
    private readonly IReadOnlyDictionary<string, uint> _symbols;
    private Func<KernelType, KernelType>? _moveType;
    private Func<uint, uint>? _moveSymbol;
    private readonly Dictionary<string, KernelType> _moved = new(StringComparer.Ordinal);

    public KernelTables(KernelBuild build, uint lastSymbol, IReadOnlyDictionary<string, KernelType> types, IReadOnlyDictionary<string, uint> symbols)
    {
        Build = build;
        LastSymbol = lastSymbol;
        _types = types;
        _symbols = symbols;
    }

    /// <summary>Tables of the same kernel under another name, with types and globals moved.</summary>
    public KernelTables Changed(KernelBuild build, Func<KernelType, KernelType>? moveType = null, Func<uint, uint>? moveSymbol = null) =>
        new(build, moveSymbol?.Invoke(LastSymbol) ?? LastSymbol, _types, _symbols) { _moveType = moveType, _moveSymbol = moveSymbol };

    public KernelBuild Build { get; }

    /// <summary>Highest RVA any symbol of the build has, carried along because the symbols themselves are not.</summary>
    public uint LastSymbol { get; }

    public TableUse Use { get; } = new();

    /// <summary>Everything the table has; not noted as used.</summary>
    public IEnumerable<KernelType> AllTypes => _types.Keys.Select(name => TryType(name, out var type) ? type : throw new TableException($"no type {name}"));

    /// <summary>Every global and routine the table has; not noted as used.</summary>
    public IEnumerable<KeyValuePair<string, uint>> AllSymbols =>
        _symbols.Select(symbol => KeyValuePair.Create(symbol.Key, _moveSymbol?.Invoke(symbol.Value) ?? symbol.Value));

    /// <summary>Number of the family: 7601, 9600, 14393, 17763, 19041, 20348 or 22000 (or that of any other build).</summary>
    public int Family => Build.Build;

    public bool HasType(string name)
    {
        var has = _types.ContainsKey(name);
        if (has)
            Use.NoteType(name);
        return has;
    }

    public KernelType Type(string name)
    {
        if (!TryType(name, out var type))
            throw new TableException($"kernel {Build.Version} has no type {name}");
        Use.NoteType(name);
        return type;
    }

    public int SizeOf(string type) => Type(type).Size;

    public bool HasField(string type, string path)
    {
        return TryField(type, path, out _);
    }

    public int OffsetOf(string type, string path) => Field(type, path).Offset;

    /// <summary>A field by its path from the outer type, such as <c>Pcb.Header.Type</c> or <c>Ist[3]</c>; the offset is counted from the outer type's start.</summary>
    public KernelField Field(string type, string path)
    {
        return TryField(type, path, out var field) ? field : throw new TableException($"kernel {Build.Version} has no field {type}.{path}");
    }

    public bool TryField(string type, string path, out KernelField field)
    {
        field = null!;
        var current = type;
        var offset = 0;
        var parts = path.Split('.');
        for (var i = 0; i < parts.Length; i++)
        {
            if (current is null || !TryType(current, out var layout))
                return false;
            var name = parts[i];
            var index = -1;
            if (name.EndsWith(']'))
            {
                var open = name.IndexOf('[', StringComparison.Ordinal);
                index = int.Parse(name.AsSpan(open + 1, name.Length - open - 2));
                name = name[..open];
            }
            if (!layout.Fields.TryGetValue(name, out var found))
                return false;
            Use.NoteField(current, name);
            var size = found.Size;
            var count = found.Count;
            offset += found.Offset;
            if (index >= 0)
            {
                size /= count;
                offset += index * size;
                count = 1;
            }
            current = found.Type;
            field = found with { Name = path, Offset = offset, Size = size, Count = count };
        }
        return true;
    }

    public bool HasSymbol(string name) => TrySymbol(name, out _);

    /// <summary>RVA of a global or function.</summary>
    public uint Symbol(string name)
    {
        return TrySymbol(name, out var rva) ? rva : throw new TableException($"kernel {Build.Version} has no symbol {name}");
    }

    public bool TrySymbol(string name, out uint rva)
    {
        if (!_symbols.TryGetValue(name, out rva))
            return false;
        Use.NoteSymbol(name);
        if (_moveSymbol is not null)
            rva = _moveSymbol(rva);
        return true;
    }

    private bool TryType(string name, [NotNullWhen(true)] out KernelType? type)
    {
        if (!_types.TryGetValue(name, out type) || _moveType is null)
            return type is not null;
        if (!_moved.TryGetValue(name, out var moved))
            _moved.Add(name, moved = _moveType(type));
        type = moved;
        return true;
    }
}
