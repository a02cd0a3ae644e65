namespace Forengate.Guests;

/// <summary>Names that a mistyped one may have meant.</summary>
internal static class NearNames
{
    private const int Most = 3;
    private const int LongestName = 256;

    public static List<string> Of(string wanted, IEnumerable<string> names)
    {
        if (wanted.Length > LongestName)
            return [];
        return names.Where(n => n.Length <= LongestName)
            .Select(n => (Name: n, Distance: Distance(wanted.ToUpperInvariant(), n.ToUpperInvariant())))
            .Where(n => n.Distance <= Math.Max(2, wanted.Length / 3) || n.Name.Contains(wanted, StringComparison.OrdinalIgnoreCase))
            .OrderBy(n => n.Distance).ThenBy(n => n.Name, StringComparer.Ordinal)
            .Take(Most).Select(n => n.Name).ToList();
    }

    /// <summary>How many letters must be put in, taken out or changed (Levenshtein).</summary>
    internal static int Distance(string left, string right)
    {
        var row = new int[right.Length + 1];
        for (var j = 0; j <= right.Length; j++)
            row[j] = j;
        for (var i = 1; i <= left.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= right.Length; j++)
            {
                var above = row[j];
                row[j] = Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + (left[i - 1] == right[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }
        return row[^1];
    }
}
