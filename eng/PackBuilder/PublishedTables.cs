using System.Globalization;
using Forengate.Symbols;

namespace Forengate.PackBuilder;

/// <summary>
/// Layouts that were read off listings which people published, put down in a text file: "layout VERSION ARCHITECTURE ORIGIN", then structures ("_EPROCESS 0x840") with their fields, indented ("Token 0x248").
/// Every row must be one of the schema's: a misspelt one is an error, not a field that is missing.
/// </summary>
internal static class PublishedTables
{
    /// <summary>Adds all of a file.</summary>
    /// <returns>How many layouts there were.</returns>
    public static int AddTo(PackWriter writer, string path)
    {
        var count = 0;
        string[]? head = null;
        var sizes = new Dictionary<KernelStruct, int>();
        var places = new Dictionary<KernelField, FieldPlace>();
        var owner = "";
        foreach (var (number, line) in File.ReadLines(path).Index().Append((-1, "layout")))
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length == 0 || words[0].StartsWith('#'))
                continue;
            var where = $"{path}:{number + 1}";
            if (words[0] == "layout")
            {
                if (head is not null)
                {
                    if (!writer.AddLayout(Version.Parse(head[1]), MachineOf(head[2]), head[3], default, type => sizes.TryGetValue(type, out var size) ? size : null, field => places.TryGetValue(field, out var place) ? place : null))
                        throw new InvalidDataException($"{where}: {head[1]} occurs twice");
                    count++;
                }
                (head, owner) = (words.Length == 4 ? words : null, "");
                sizes.Clear();
                places.Clear();
            }
            else if (!char.IsWhiteSpace(line[0]))
            {
                owner = words[0];
                var type = KernelSchema.FindStruct(owner) ?? throw new InvalidDataException($"{where}: the schema has no structure {owner}");
                if (words.Length > 1)
                    sizes.Add(type, Number(words[1]));
            }
            else
            {
                var field = KernelSchema.FindField($"{owner}.{words[0]}") ?? throw new InvalidDataException($"{where}: the schema has no field {owner}.{words[0]}");
                places.Add(field, new FieldPlace(Number(words[1]), 0, 0));
            }
        }
        return count;
    }

    private static ushort MachineOf(string architecture) => architecture == "x86" ? VersionLayout.MachineX86 : VersionLayout.MachineX64;

    private static int Number(string text) => int.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
