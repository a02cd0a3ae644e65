using System.Text.RegularExpressions;

namespace Forengate.Testing.Referee;

/// <summary>What the engine's <c>.dumpdebug</c> reads in a dump's header.</summary>
public sealed partial class EngineHeader
{
    private EngineHeader(string? kind, IReadOnlyDictionary<string, string> fields, IReadOnlyList<EngineRun> runs, IReadOnlyList<ulong> processorBlocks)
        => (Kind, Fields, Runs, ProcessorBlocks) = (kind, fields, runs, processorBlocks);

    /// <summary>"64 bit Kernel Full Dump".</summary>
    public string? Kind { get; }

    /// <summary>The fields as printed ("DirectoryTableBase" → "00000000`00100000").</summary>
    public IReadOnlyDictionary<string, string> Fields { get; }

    /// <summary>Physical memory; the file offsets are the engine's, which counts from 0x1000 also where the pages of a 64-bit dump begin at 0x2000.</summary>
    public IReadOnlyList<EngineRun> Runs { get; }

    /// <summary>The KPRCBs that KiProcessorBlock leads to.</summary>
    public IReadOnlyList<ulong> ProcessorBlocks { get; }

    /// <summary>A field as a number; null where the header has none of that name or it is no number.</summary>
    public ulong? this[string field] =>
        Fields.TryGetValue(field, out var text) && Number().IsMatch(text) ? EngineModule.Address(text) : null;

    public static EngineHeader Parse(string text)
    {
        var fields = new Dictionary<string, string>();
        foreach (Match line in Field().Matches(text))
            fields.TryAdd(line.Groups["name"].Value, line.Groups["value"].Value.Trim());
        var runs = Run().Matches(text).Select(line => new EngineRun(
            EngineModule.Address(line.Groups["offset"].Value), EngineModule.Address(line.Groups["start"].Value), EngineModule.Address(line.Groups["length"].Value)));
        var blocks = text.IndexOf("KiProcessorBlock entries:", StringComparison.Ordinal) is > 0 and var at
            ? Address().Matches(text[at..]).Select(match => EngineModule.Address(match.Value))
            : [];
        return new EngineHeader(Kinds().Match(text) is { Success: true } kind ? kind.Groups[1].Value : null, fields, [.. runs], [.. blocks]);
    }

    [GeneratedRegex(@"^----- (.*) Analysis", RegexOptions.Multiline)]
    private static partial Regex Kinds();

    [GeneratedRegex(@"^(?<name>[A-Z]\w+)(:? +)(?<value>[0-9a-f`]+|'.*') *$", RegexOptions.Multiline)]
    private static partial Regex Field();

    [GeneratedRegex(@"^ +(?<offset>[0-9a-f]{8}`[0-9a-f]{8}) +(?<start>[0-9a-f]{8}`[0-9a-f]{8}) +(?<length>[0-9a-f]{8}`[0-9a-f]{8}) *$", RegexOptions.Multiline)]
    private static partial Regex Run();

    [GeneratedRegex("^[0-9a-f`]+$")]
    private static partial Regex Number();

    [GeneratedRegex("[0-9a-f]{8}`[0-9a-f]{8}")]
    private static partial Regex Address();
}

/// <summary>A run of physical memory as the engine prints it: byte offsets and lengths.</summary>
public readonly record struct EngineRun(ulong FileOffset, ulong Start, ulong Length);
