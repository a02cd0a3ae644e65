namespace Forengate.Lab.Tables;

/// <summary>What was looked up in a table while images were built from it.</summary>
internal sealed class TableUse
{
    private readonly SortedDictionary<string, SortedSet<string>> _fields = new(StringComparer.Ordinal);
    private readonly SortedSet<string> _symbols = new(StringComparer.Ordinal);

    public IEnumerable<string> Types => _fields.Keys;
    public IEnumerable<string> Symbols => _symbols;

    public IReadOnlySet<string> FieldsOf(string type) => _fields[type];

    public void NoteType(string type)
    {
        if (!_fields.ContainsKey(type))
            _fields.Add(type, new SortedSet<string>(StringComparer.Ordinal));
    }

    public void NoteField(string type, string field)
    {
        NoteType(type);
        _fields[type].Add(field);
    }

    public void NoteSymbol(string symbol) => _symbols.Add(symbol);
}
