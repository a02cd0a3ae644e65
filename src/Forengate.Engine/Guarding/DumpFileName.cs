using System.Globalization;

namespace Forengate.Engine;

/// <summary>The name of a dump that a guard writes: <c>GUEST_20261121T143205.123Z_panic_D1.dmp</c>.</summary>
/// <param name="Label">The guest (<see cref="GuestLabel"/>).</param>
/// <param name="At">When it was heard of, UTC.</param>
/// <param name="Why">"panic", "watchdog", "silence".</param>
/// <param name="Code">The stop code in hexadecimal.</param>
internal sealed record DumpFileName(string Label, DateTimeOffset At, string Why, uint Code)
{
    public const string Extension = ".dmp";

    private const string TimeFormat = "yyyyMMdd'T'HHmmss.fff'Z'";

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Label}_{At.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture)}_{Why}_{Code:X}{Extension}");

    /// <summary>Null for a name that no guard gave. What stands behind the code ("-2") is a second file of the same instant.</summary>
    public static DumpFileName? Parse(string name)
    {
        if (!name.EndsWith(Extension, StringComparison.Ordinal))
            return null;
        var parts = name[..^Extension.Length].Split('_');
        if (parts.Length < 4)
            return null;
        var (why, code) = (parts[^2], parts[^1].Split('-')[0]);
        if (why.Length == 0 || !why.All(char.IsAsciiLetterLower) || !uint.TryParse(code, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var stop))
            return null;
        if (!DateTimeOffset.TryParseExact(parts[^3], TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var at))
            return null;
        return new DumpFileName(string.Join('_', parts[..^3]), at, why, stop);
    }

    /// <summary>The path in a folder that no file has yet.</summary>
    public string FreePathIn(string folder)
    {
        var path = Path.Combine(folder, ToString());
        for (var number = 2; File.Exists(path); number++)
            path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{ToString()[..^Extension.Length]}-{number}{Extension}"));
        return path;
    }
}
