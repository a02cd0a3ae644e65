using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Testing.Referee;

/// <summary>What the engine's <c>vertarget</c> says; null for each fact it does not have.</summary>
public sealed partial record EngineTarget
{
    /// <summary>"Windows 10 Kernel Version 19041 MP (2 procs) Free x64".</summary>
    public string? Version { get; private init; }

    public int? Build { get; private init; }

    public int? Processors { get; private init; }

    /// <summary>"WinNt, suite: TerminalServer SingleUserTS".</summary>
    public string? Product { get; private init; }

    /// <summary>"19041.1.amd64fre.vb_release.191206-1406".</summary>
    public string? BuildLab { get; private init; }

    public ulong? KernelBase { get; private init; }

    public ulong? PsLoadedModuleList { get; private init; }

    /// <summary>In UTC: the engine runs in that time zone.</summary>
    public DateTime? SessionTime { get; private init; }

    public TimeSpan? Uptime { get; private init; }

    public static EngineTarget Parse(string text)
    {
        var version = VersionLine().Match(text);
        var kernel = KernelLine().Match(text);
        var lab = Lab().Match(text);
        var product = ProductLine().Match(text);
        return new EngineTarget
        {
            Version = version.Success ? version.Value.TrimEnd() : null,
            Build = version.Success ? int.Parse(version.Groups["build"].Value, CultureInfo.InvariantCulture) : null,
            Processors = version.Groups["cpus"] is { Success: true } cpus ? int.Parse(cpus.Value, CultureInfo.InvariantCulture) : version.Success ? 1 : null,
            Product = product.Success ? product.Groups[1].Value.TrimEnd() : null,
            BuildLab = lab.Success ? lab.Groups[1].Value : null,
            KernelBase = kernel.Success ? EngineModule.Address(kernel.Groups["base"].Value) : null,
            PsLoadedModuleList = kernel.Success ? EngineModule.Address(kernel.Groups["modules"].Value) : null,
            SessionTime = Time(SessionLine().Match(text)),
            Uptime = Span(UptimeLine().Match(text)),
        };
    }

    private static DateTime? Time(Match line)
    {
        if (!line.Success)
            return null;
        var words = string.Join(' ', line.Groups["time"].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        var zone = line.Groups["zone"].Value.Replace(" ", "", StringComparison.Ordinal).TrimStart('+');
        var local = DateTime.ParseExact(words, "ddd MMM d HH:mm:ss.FFF yyyy", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal);
        return local - TimeSpan.Parse(zone, CultureInfo.InvariantCulture);
    }

    private static TimeSpan? Span(Match line) => !line.Success ? null :
        TimeSpan.FromDays(int.Parse(line.Groups["days"].Value, CultureInfo.InvariantCulture)) + TimeSpan.Parse(line.Groups["time"].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^Windows .*Kernel Version (?<build>\d+)( \(Service Pack [^)]*\))? (UP|MP \((?<cpus>\d+) procs\)).*$", RegexOptions.Multiline)]
    private static partial Regex VersionLine();

    [GeneratedRegex(@"^Kernel base = 0x(?<base>[0-9a-f`]+) PsLoadedModuleList = 0x(?<modules>[0-9a-f`]+)", RegexOptions.Multiline)]
    private static partial Regex KernelLine();

    [GeneratedRegex(@"^Product: (.*)$", RegexOptions.Multiline)]
    private static partial Regex ProductLine();

    [GeneratedRegex(@"^(?:Edition build lab|Built by): (\S+)", RegexOptions.Multiline)]
    private static partial Regex Lab();

    [GeneratedRegex(@"^Debug session time: (?<time>\w{3} \w{3} +\d+ [0-9:.]+ \d{4}) \(UTC (?<zone>[+-] \d+:\d+)\)", RegexOptions.Multiline)]
    private static partial Regex SessionLine();

    [GeneratedRegex(@"^System Uptime: (?<days>\d+) days? (?<time>[0-9:.]+)", RegexOptions.Multiline)]
    private static partial Regex UptimeLine();
}
