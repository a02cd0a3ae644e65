using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Testing.Referee;

/// <summary>A line of the engine's <c>lm</c>.</summary>
/// <param name="Start">Virtual address of the image.</param>
/// <param name="End">The first address behind it.</param>
/// <param name="Name">The engine's short name: <c>nt</c> for the kernel, else the file name without its extension.</param>
public sealed partial record EngineModule(ulong Start, ulong End, string Name)
{
    public static IReadOnlyList<EngineModule> ParseAll(string text) =>
        [.. Line().Matches(text).Select(match => new EngineModule(Address(match.Groups["start"].Value), Address(match.Groups["end"].Value), match.Groups["name"].Value))];

    /// <summary>The debugger's way to write an address: <c>fffff805`0fe00000</c>; of 32-bit Windows eight digits.</summary>
    internal static ulong Address(string text) =>
        ulong.Parse(text.Replace("`", "", StringComparison.Ordinal), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^(?<start>[0-9a-f]{8}(?:`?[0-9a-f]{8})?) (?<end>[0-9a-f]{8}(?:`?[0-9a-f]{8})?)\s+(?<name>\S+)", RegexOptions.Multiline)]
    private static partial Regex Line();
}
