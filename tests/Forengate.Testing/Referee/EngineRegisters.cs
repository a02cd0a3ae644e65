using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Testing.Referee;

/// <summary>Reads what the engine's <c>r</c> printed for each processor.</summary>
internal static partial class EngineRegisters
{
    public static IReadOnlyList<IReadOnlyDictionary<string, ulong>> ParseAll(IReadOnlyDictionary<string, string> outputs)
    {
        var processors = new SortedDictionary<int, Dictionary<string, ulong>>();
        foreach (var (command, text) in outputs)
        {
            if (EachCommand().Match(command) is not { Success: true } each)
                continue;
            var number = int.Parse(each.Groups[1].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);
            if (!processors.TryGetValue(number, out var registers))
                processors.Add(number, registers = []);
            foreach (Match register in Register().Matches(text))
                registers.TryAdd(register.Groups["name"].Value, EngineModule.Address(register.Groups["value"].Value));
        }
        return [.. processors.Values];
    }

    [GeneratedRegex(@"^~(\d+)s; r")]
    private static partial Regex EachCommand();

    [GeneratedRegex(@"\b(?<name>[a-z][a-z0-9]*)=(?<value>[0-9a-f]{1,16})\b")]
    private static partial Regex Register();
}
