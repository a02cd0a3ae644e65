using System.Globalization;
using System.Text;

namespace Forengate.Lab.Tables;

/// <summary>
/// The compact text form of a table, as carried with the program. One record a line, numbers in hex without prefix:
/// <c>build VERSION</c>, <c>pdb GUID AGE</c>, <c>image SIZE TIMESTAMP</c>, <c>last RVA</c>, <c>type NAME SIZE</c>, then its fields indented by a blank:
/// <c>NAME OFFSET SIZE [xCOUNT] [bPOSITION:LENGTH] [:TYPE]</c>, and <c>symbol NAME RVA</c>. Lines that begin with # are remarks.
/// </summary>
internal static class TableText
{
    public static string Write(KernelTables tables)
    {
        var text = new StringBuilder();
        text.Append("# Types and globals of one Windows kernel, those a twin guest uses. Facts from JPCERTCC/Windows-Symbol-Tables\n");
        text.Append("# (BSD-3-Clause, see NOTICE.txt beside this file) and, for the image line, from System Informer's kphdyn.xml (MIT). Made by 'twin tables'.\n");
        text.Append($"build {tables.Build.Version}\n");
        text.Append($"pdb {tables.Build.Guid} {tables.Build.Age:x}\n");
        text.Append($"image {tables.Build.ImageSize:x} {tables.Build.Timestamp:x}\n");
        text.Append($"last {tables.LastSymbol:x}\n");
        foreach (var name in tables.Use.Types.ToArray())
        {
            var used = tables.Use.FieldsOf(name);
            var type = tables.Type(name);
            text.Append($"type {name} {type.Size:x}\n");
            foreach (var field in type.Fields.Values.Where(f => used.Contains(f.Name)).OrderBy(f => f.Offset).ThenBy(f => f.BitPosition).ThenBy(f => f.Name, StringComparer.Ordinal))
            {
                text.Append($" {field.Name} {field.Offset:x} {field.Size:x}");
                if (field.Count != 1)
                    text.Append($" x{field.Count:x}");
                if (field.BitLength != 0)
                    text.Append($" b{field.BitPosition:x}:{field.BitLength:x}");
                if (field.Type is not null)
                    text.Append($" :{field.Type}");
                text.Append('\n');
            }
        }
        foreach (var name in tables.Use.Symbols.ToArray())
            text.Append($"symbol {name} {tables.Symbol(name):x}\n");
        return text.ToString();
    }

    public static KernelTables Read(TextReader reader)
    {
        string version = "", guid = "";
        uint age = 0, size = 0, stamp = 0, last = 0;
        var types = new Dictionary<string, KernelType>(StringComparer.Ordinal);
        var symbols = new Dictionary<string, uint>(StringComparer.Ordinal);
        Dictionary<string, KernelField>? fields = null;
        while (reader.ReadLine() is { } line)
        {
            if (line.Length == 0 || line[0] == '#')
                continue;
            var words = line.Split(' ');
            switch (words[0])
            {
                case "build": version = words[1]; break;
                case "pdb": (guid, age) = (words[1], Hex(words[2])); break;
                case "image": (size, stamp) = (Hex(words[1]), Hex(words[2])); break;
                case "last": last = Hex(words[1]); break;
                case "symbol": symbols.Add(words[1], Hex(words[2])); break;
                case "type":
                    fields = new Dictionary<string, KernelField>(StringComparer.Ordinal);
                    types.Add(words[1], new KernelType(words[1], (int)Hex(words[2]), fields));
                    break;
                case "" when fields is not null:
                    fields.Add(words[1], Field(words));
                    break;
                default:
                    throw new TableException($"carried table: line '{line}' is not understood");
            }
        }
        return new KernelTables(new KernelBuild(version, guid, age, size, stamp), last, types, symbols);
    }

    private static KernelField Field(string[] words)
    {
        var field = new KernelField(words[1], (int)Hex(words[2]), (int)Hex(words[3]), null, 1, 0, 0);
        foreach (var word in words.AsSpan(4))
        {
            if (word[0] == 'x')
                field = field with { Count = (int)Hex(word[1..]) };
            else if (word[0] == ':')
                field = field with { Type = word[1..] };
            else if (word[0] == 'b' && word.Split(':') is [var position, var length])
                field = field with { BitPosition = (int)Hex(position[1..]), BitLength = (int)Hex(length) };
            else
                throw new TableException($"carried table: field word '{word}' is not understood");
        }
        return field;
    }

    private static uint Hex(string word) => uint.Parse(word, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
