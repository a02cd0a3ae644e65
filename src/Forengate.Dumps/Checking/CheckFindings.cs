namespace Forengate.Dumps;

/// <summary>Collects findings, bounded: a hostile dump must not make a report without end.</summary>
internal sealed class CheckFindings
{
    private const int MaxPerCode = 16;

    private readonly List<CheckFinding> _findings = [];
    private readonly Dictionary<string, int> _counts = [];

    public void Error(string code, string text) => Add(CheckSeverity.Error, code, text);

    public void Warning(string code, string text) => Add(CheckSeverity.Warning, code, text);

    public void Note(string code, string text) => Add(CheckSeverity.Note, code, text);

    public IReadOnlyList<CheckFinding> All()
    {
        var all = new List<CheckFinding>(_findings);
        foreach (var (code, count) in _counts.Where(pair => pair.Value > MaxPerCode))
            all.Add(new CheckFinding(CheckSeverity.Note, code, $"{count - MaxPerCode} more findings of this kind"));
        return all;
    }

    private void Add(CheckSeverity severity, string code, string text)
    {
        var count = _counts.GetValueOrDefault(code) + 1;
        _counts[code] = count;
        if (count <= MaxPerCode)
            _findings.Add(new CheckFinding(severity, code, text));
    }
}
