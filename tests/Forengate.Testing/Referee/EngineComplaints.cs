using System.Text.RegularExpressions;

namespace Forengate.Testing.Referee;

/// <summary>
/// Which of the engine's lines find fault with a dump. Wide on purpose: a line counts when it has a word of failure in it and is not on the short list of what
/// this set-up always says, because it has neither PDBs nor image files nor extension libraries.
/// </summary>
internal static partial class EngineComplaints
{
    public static IReadOnlyList<string> In(string text, bool died)
    {
        var complaints = text.Split('\n')
            .Select(line => line.Trim())
            .Where(line => Fault().IsMatch(line) && !SetUp().IsMatch(line))
            .Distinct()
            .ToList();
        if (died)
            complaints.Add("the debugger engine died on this dump");
        return complaints;
    }

    [GeneratedRegex(@"corrupt|unreadable|not present|not available|fail|unable|error|mismatch|could not|cannot|can't|truncat|missing|invalid|warning|unsupported|not supported|unexpected|unknown|incomplete|\bbad\b|wrong|not found|doesn't|not valid|inconsisten|\*\*\* ", RegexOptions.IgnoreCase)]
    private static partial Regex Fault();

    [GeneratedRegex("""
        ^\*\*\*\ .*\ \*\*\*$ |                                              # the box on unqualified symbols
        ^\*{5} |
        ^(\*\*\*\ WARNING:\ )?Unable\ to\ (load\ image\ .*,\ Win32\ error\ 0n2|verify\ (checksum|timestamp)\ for\ )|
        ^\*\*\*\ ERROR:\ (Module\ load\ completed\ but\ symbols\ could\ not\ be\ loaded|Symbol\ file\ could\ not\ be\ found)|
        ^Unable\ to\ add\ extension\ DLL:\ (kdexts|kext|exts)$ |
        ^Module\ name\s+Error$ | The\ system\ cannot\ find\ the\ file\ specified$ |
        ^You\ can\ troubleshoot\ most\ symbol\ related\ issues |
        ^Comment\b
        """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex SetUp();
}
