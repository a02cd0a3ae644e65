using System.Globalization;

namespace Forengate.Engine;

/// <summary>Times and amounts as the guard's options take them and its lines say them.</summary>
public static class GuardWords
{
    private static readonly (char Unit, TimeSpan Length)[] s_times =
        [('s', TimeSpan.FromSeconds(1)), ('m', TimeSpan.FromMinutes(1)), ('h', TimeSpan.FromHours(1)), ('d', TimeSpan.FromDays(1))];

    private static readonly TimeSpan s_longest = TimeSpan.FromDays(366);

    private const string SizeUnits = "KMGT";

    /// <summary>"90s", "5m", "1h", "2d": a whole number above zero and its unit, at most a year.</summary>
    public static bool TryTime(string text, out TimeSpan time)
    {
        time = default;
        if (text.Length < 2 || s_times.FirstOrDefault(unit => unit.Unit == text[^1]) is not { Unit: not '\0' } unit)
            return false;
        if (!int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var count) || count == 0 || count > s_longest / unit.Length)
            return false;
        time = unit.Length * count;
        return true;
    }

    /// <summary>"500M", "20G", "4096": bytes, or powers of 1024.</summary>
    public static bool TrySize(string text, out ulong bytes)
    {
        bytes = 0;
        if (text.Length == 0)
            return false;
        var unit = SizeUnits.IndexOf(char.ToUpperInvariant(text[^1]), StringComparison.Ordinal) + 1;
        if (!ulong.TryParse(unit > 0 ? text.AsSpan(0, text.Length - 1) : text, NumberStyles.None, CultureInfo.InvariantCulture, out var count) || count > ulong.MaxValue >> (10 * unit))
            return false;
        bytes = count << (10 * unit);
        return true;
    }

    /// <summary>"3/1h": so many in so long.</summary>
    public static bool TryRate(string text, out DumpRate? rate)
    {
        rate = null;
        var slash = text.IndexOf('/', StringComparison.Ordinal);
        if (slash < 1 || !int.TryParse(text.AsSpan(0, slash), NumberStyles.None, CultureInfo.InvariantCulture, out var count) || count == 0)
            return false;
        if (!TryTime(text[(slash + 1)..], out var window))
            return false;
        rate = new DumpRate(count, window);
        return true;
    }

    /// <summary>"1h" where it is a whole number of hours, and so on.</summary>
    public static string Of(TimeSpan time)
    {
        foreach (var (unit, length) in s_times.Reverse())
        {
            if (time >= length && time.Ticks % length.Ticks == 0)
                return string.Create(CultureInfo.InvariantCulture, $"{time / length:0}{unit}");
        }
        return string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###}s");
    }
}
