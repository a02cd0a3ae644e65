using System.Globalization;
using System.Text;

namespace Forengate.Cli.Output;

/// <summary>
/// Makes text that a guest wrote safe to print: a process may be named with escape sequences that would re-program the terminal,
/// or with direction marks that make one name look like another.
/// </summary>
internal static class TerminalText
{
    public static string MakeSafe(string text)
    {
        StringBuilder? safe = null;
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            var pairs = char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
            var harmful = !pairs && (char.IsSurrogate(c) || IsHarmful(c));
            if (harmful)
                safe ??= new StringBuilder(text, 0, i, text.Length + 16);
            if (safe is not null)
            {
                if (harmful)
                    safe.Append($"\\u{(int)c:x4}");
                else
                    safe.Append(c);
                if (pairs)
                    safe.Append(text[i + 1]);
            }
            if (pairs)
                i++;
        }
        return safe?.ToString() ?? text;
    }

    /// <summary>JSON must be valid Unicode: half a surrogate pair becomes U+FFFD.</summary>
    public static string ReplaceLoneSurrogates(string text)
    {
        StringBuilder? clean = null;
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
                continue;
            if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                i++;
                continue;
            }
            clean ??= new StringBuilder(text);
            clean[i] = '\uFFFD';
        }
        return clean?.ToString() ?? text;
    }

    /// <summary>Terminal cells the text takes: East Asian wide characters and emoji take two, combining marks none.</summary>
    public static int WidthOf(string text)
    {
        var width = 0;
        foreach (var rune in text.EnumerateRunes())
            width += WidthOf(rune);
        return width;
    }

    private static int WidthOf(Rune rune)
    {
        if (rune.Value < 0x300)
            return 1;
        if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark)
            return 0;
        // Blocks that Unicode's EastAsianWidth.txt gives as W or F.
        return rune.Value is (>= 0x1100 and <= 0x115F) or (>= 0x2E80 and <= 0xA4CF) or (>= 0xAC00 and <= 0xD7A3) or (>= 0xF900 and <= 0xFAFF)
            or (>= 0xFE30 and <= 0xFE6F) or (>= 0xFF00 and <= 0xFF60) or (>= 0xFFE0 and <= 0xFFE6) or (>= 0x1F300 and <= 0x1FAFF)
            or (>= 0x20000 and <= 0x3FFFD)
            ? 2
            : 1;
    }

    private static bool IsHarmful(char c) =>
        char.IsControl(c) || c is (>= '\u200B' and <= '\u200F') or (>= '\u2028' and <= '\u202E') or (>= '\u2066' and <= '\u2069') or '\uFEFF';
}
