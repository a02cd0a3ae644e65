namespace Forengate.Testing.Twins;

/// <summary>Collects everything in which two sides differ, so that one run of a slow test shows all of it.</summary>
public sealed class Differences
{
    private const int MostShown = 40;

    private readonly List<string> found = [];

    /// <summary>Numbers are equal when their values are, whatever their types.</summary>
    public void Expect(string what, object? expected, object? actual)
    {
        if (!Equals(Plain(expected), Plain(actual)))
            found.Add($"{what}: expected {Show(expected)}, got {Show(actual)}");
    }

    public void Require(string what, bool holds, string otherwise = "does not hold")
    {
        if (!holds)
            found.Add($"{what}: {otherwise}");
    }

    public void None(string what, IEnumerable<string> lines) => found.AddRange(lines.Select(line => $"{what}: {line}"));

    /// <summary>Compares two sets by key: what is missing, what is too much, and each pair in what both have.</summary>
    public void Match<TKey, TExpected, TActual>(
        string what, IEnumerable<TExpected> expected, Func<TExpected, TKey> keyOfExpected, IEnumerable<TActual> actual, Func<TActual, TKey> keyOfActual, Action<TExpected, TActual> pair)
        where TKey : notnull
    {
        var unmatched = new Dictionary<TKey, TActual>();
        foreach (var item in actual)
            Require($"{what}: {Show(item)}", unmatched.TryAdd(keyOfActual(item), item), "is there twice");
        foreach (var item in expected)
        {
            if (unmatched.Remove(keyOfExpected(item), out var other))
                pair(item, other);
            else
                found.Add($"{what}: missing {Show(item)}");
        }
        found.AddRange(unmatched.Values.Select(item => $"{what}: too much: {Show(item)}"));
    }

    public void AssertNone()
    {
        if (found.Count > 0)
            Assert.Fail($"{found.Count} differences\n" + string.Join('\n', found.Take(MostShown)));
    }

    private static object? Plain(object? value) => value is byte or ushort or uint or int or long or ulong ? Convert.ToDecimal(value, System.Globalization.CultureInfo.InvariantCulture) : value;

    private static string Show(object? value) => value switch
    {
        null => "nothing",
        ulong number => $"0x{number:x}",
        string text => $"'{text}'",
        DateTime time => time.ToString("O"),
        _ => value.ToString()!,
    };
}
