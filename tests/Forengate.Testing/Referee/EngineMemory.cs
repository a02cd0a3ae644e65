using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Testing.Referee;

/// <summary>Reads what the engine's <c>db</c> printed.</summary>
internal static partial class EngineMemory
{
    public static IReadOnlyList<byte?> Parse(string text, int length)
    {
        if (text.Length == 0)
            throw new ArgumentException("the verdict has no such read: give EngineVerdict.ReadOf with this address and length to Judge");
        var bytes = new byte?[length];
        var at = 0;
        foreach (Match line in Line().Matches(text))
            foreach (Match pair in Pair().Matches(line.Groups["bytes"].Value))
                if (at < length)
                    bytes[at++] = pair.Value == "??" ? null : byte.Parse(pair.Value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
        return bytes;
    }

    /// <summary>An address, two blanks, sixteen pairs parted by blanks and a dash, then the text column.</summary>
    [GeneratedRegex(@"^[0-9a-f`]{8,17}  (?<bytes>[0-9a-f?]{2}([ -][0-9a-f?]{2}){0,15})(  |\s*$)", RegexOptions.Multiline)]
    private static partial Regex Line();

    [GeneratedRegex(@"[0-9a-f]{2}|\?\?")]
    private static partial Regex Pair();
}
