using System.Text.RegularExpressions;

namespace Forengate.Testing.Referee;

/// <summary>
/// Which of the engine's lines find fault with a dump. Wide on purpose: a line counts when it has a word of failure in it and is not on the short list of what
/// this set-up always says, because it has neither PDBs nor image files nor extension libraries.
/// </summary>
internal static partial class EngineComplaints
{
    public static IReadOnlyList<string> Of(EngineVerdict verdict)
    {
        var complaints = verdict.Everything.Split('\n')
            .Select(line => line.Trim())
            .Where(line => Fault().IsMatch(line.Replace(NoChance, "", StringComparison.Ordinal)) && !SetUp().IsMatch(line))
            .Distinct()
            .ToList();
        if (verdict.Opened && verdict["vertarget"].Length > 0)
        {
            // With a SystemTime of zero the engine leaves the line out and says nothing.
            if (verdict.Target.SessionTime is null)
                complaints.Add("the engine shows no debug session time");
            if (verdict.Target.Uptime is null)
                complaints.Add("the engine shows no system up-time");
        }
        if (verdict.Died)
            complaints.Add("the engine died on this dump");
        return complaints;
    }

    /// <summary>Ends the line on any exception that a header carries, also in a genuine dump.</summary>
    private const string NoChance = "(first/second chance not available)";

    [GeneratedRegex("""
        corrupt|unreadable|not\ present|not\ available|fail|unable|error|mismatch|could\ not|cannot|can't|truncat|missing|invalid|warning|unsupported|not\ supported|
        unexpected|unknown|incomplete|\bbad\b|wrong|not\ found|doesn't|not\ valid|partially\ valid|inaccessible|inconsisten|conflict|refused|\]\ is\ null|
        SystemRangeStart|not\ using\ 64-bit|\*{3}\s
        """, RegexOptions.IgnoreCase | RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex Fault();

    [GeneratedRegex("""
        ^\*\*\*\ .*\ \*\*\*$ |                                              # the box on unqualified symbols
        ^\*{5} |
        ^(\*\*\*\ WARNING:\ )?Unable\ to\ (load\ image\ .*,\ Win32\ error\ 0n2|verify\ (checksum|timestamp)\ for\ )|
        ^\*\*\*\ ERROR:\ (Module\ load\ completed\ but\ symbols\ could\ not\ be\ loaded|Symbol\ file\ could\ not\ be\ found)|
        ^Unable\ to\ add\ extension\ DLL:\ (kdexts|kext|exts)$ |
        ^Module\ name\s+Error$ | The\ system\ cannot\ find\ the\ file\ specified$ |
        ^You\ can\ troubleshoot\ most\ symbol\ related\ issues |
        ^Comment\b                                                          # free text of whoever wrote the dump
        """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex SetUp();
}
