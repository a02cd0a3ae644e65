namespace Forengate.Windows;

/// <summary>Collects warnings up to a bound; what comes after is counted.</summary>
internal sealed class WarningList(int limit)
{
    private readonly List<string> _lines = [];
    private int _more;

    public int Count => _lines.Count + _more;

    public void Add(string line)
    {
        if (_lines.Count < limit)
            _lines.Add(line);
        else
            _more++;
    }

    public IReadOnlyList<string> ToList() => _more == 0 ? _lines : [.. _lines, $"… and {_more} more"];
}
