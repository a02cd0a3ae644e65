using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Forengate.Symbols.Tests;

/// <summary>What llvm-pdbutil (Debian package llvm) reads in a PDB, in the form of <see cref="IsfForm"/>.</summary>
internal sealed partial class LlvmDump
{
    private const string Program = "llvm-pdbutil";

    private readonly Dictionary<uint, Record> _records = [];
    private readonly Dictionary<string, uint> _definitions = new(StringComparer.Ordinal);

    private LlvmDump(string path)
    {
        Record? record = null;
        foreach (var line in Lines(path, "-types"))
        {
            if (Head().Match(line) is { Success: true } head)
                _records.Add(Hex(head, 1), record = new Record(Hex(head, 1), head.Groups[2].Value, head.Groups[3].Value));
            else
                record?.Lines.Add(line.Trim());
        }
        foreach (var definition in _records.Values.Where(one => one.IsTag && !one.IsForward))
            _definitions[definition.Key] = definition.Index;
    }

    /// <summary>Runs it; skips the running test where it is not installed.</summary>
    public static LlvmDump Of(string path) => new(path);

    /// <summary>Structures, classes and unions by name: size and fields. Of two of a name, the last.</summary>
    public IEnumerable<(string Name, long Size, List<string> Fields)> Types() =>
        _definitions.Where(named => _records[named.Value].Leaf != "LF_ENUM").Select(named =>
        {
            var record = _records[named.Value];
            return (named.Key[2..], long.Parse(record.Find(@"sizeof (\d+)")!, CultureInfo.InvariantCulture), Fields(record).ToList());
        });

    /// <summary>Enumerations by name, with their constants.</summary>
    public IEnumerable<(string Name, string Underlying, List<string> Constants)> Enums() =>
        _definitions.Where(named => _records[named.Value].Leaf == "LF_ENUM").Select(named =>
        {
            var record = _records[named.Value];
            var lines = ListLines(record.Reference("field list"));
            return (named.Key[2..], TypeOf(record.Reference("underlying type")),
                lines.Where(line => line.StartsWith("- LF_ENUMERATE", StringComparison.Ordinal)).Select(line => line["- LF_ENUMERATE [".Length..^1]).ToList());
        });

    /// <summary>Public symbols with section and offset.</summary>
    public static IEnumerable<(string Name, int Section, uint Offset)> Publics(string path)
    {
        string? name = null;
        foreach (var line in Lines(path, "-publics"))
        {
            if (PublicHead().Match(line) is { Success: true } head)
                name = head.Groups[1].Value;
            else if (name is not null && Place().Match(line) is { Success: true } place)
                yield return (name, int.Parse(place.Groups[1].Value, CultureInfo.InvariantCulture), uint.Parse(place.Groups[2].Value, CultureInfo.InvariantCulture));
        }
    }

    /// <summary>Where each section begins.</summary>
    public static List<uint> Sections(string path) =>
        [.. Lines(path, "-section-headers").TakeWhile(line => !line.Contains("Original Section", StringComparison.Ordinal))
            .Select(line => SectionStart().Match(line)).Where(match => match.Success).Select(match => Hex(match, 1))];

    private IEnumerable<string> Fields(Record record)
    {
        foreach (var line in ListLines(record.Reference("field list")))
        {
            if (Member().Match(line) is { Success: true } member)
            {
                var (type, offset) = (Hex(member, 2), member.Groups[3].Value);
                yield return _records.TryGetValue(type, out var bits) && bits.Leaf == "LF_BITFIELD"
                    ? $"{member.Groups[1].Value} {offset} {TypeOf(bits.Reference("type"))} bits {bits.Find(@"bit offset = (\d+)")} {bits.Find(@"# bits = (\d+)")}"
                    : $"{member.Groups[1].Value} {offset} {TypeOf(type)}";
            }
            else if (Ancestor().Match(line) is { Success: true } ancestor)
                yield return $" {ancestor.Groups[2].Value} {TypeOf(Hex(ancestor, 1))}";
        }
    }

    private IEnumerable<string> ListLines(uint list)
    {
        while (_records.TryGetValue(list, out var record))
        {
            list = 0;
            foreach (var line in record.Lines)
            {
                if (line.StartsWith("- LF_INDEX", StringComparison.Ordinal))
                    list = uint.Parse(Regex.Match(line, "0x([0-9A-F]+)").Groups[1].Value, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                yield return line;
            }
        }
    }

    private string TypeOf(uint index)
    {
        if (!_records.TryGetValue(index, out var record))
            return Simple(index);
        return record.Leaf switch
        {
            "LF_MODIFIER" => TypeOf(record.Reference("referent")),
            "LF_POINTER" => $"pointer to {TypeOf(record.Reference("referent"))}",
            "LF_PROCEDURE" or "LF_MFUNCTION" => "function",
            "LF_ARRAY" => Array(record),
            "LF_ENUM" => $"enum {record.Shown}",
            "LF_UNION" => $"union {record.Shown}",
            "LF_STRUCTURE" or "LF_CLASS" => $"struct {record.Shown}",
            _ => "base ?",
        };
    }

    private string Array(Record record)
    {
        var element = record.Reference("element type");
        var size = long.Parse(record.Find(@"size: (\d+)")!, CultureInfo.InvariantCulture);
        return $"{(SizeOf(element) is > 0 and var one ? size / one : 0)} of {TypeOf(element)}";
    }

    private long SizeOf(uint index)
    {
        if (!_records.TryGetValue(index, out var record))
            return (index & 0x700) switch { 0x600 => 8, 0x400 => 4, _ => Basics.GetValueOrDefault(index & 0xFF).Size };
        return record.Leaf switch
        {
            "LF_MODIFIER" => SizeOf(record.Reference("referent")),
            "LF_POINTER" => record.Lines.Any(line => line.Contains("kind = ptr32", StringComparison.Ordinal)) ? 4 : 8,
            "LF_ARRAY" => long.Parse(record.Find(@"size: (\d+)")!, CultureInfo.InvariantCulture),
            "LF_ENUM" => SizeOf(Defined(record).Reference("underlying type")),
            _ => record.Find(@"sizeof (\d+)") is not null ? long.Parse(Defined(record).Find(@"sizeof (\d+)")!, CultureInfo.InvariantCulture) : 0,
        };
    }

    private Record Defined(Record record) => record.IsForward && _definitions.TryGetValue(record.Key, out var index) ? _records[index] : record;

    /// <summary>The names of simple types by their numbers, copied from cvinfo.h anew: the reader's own table is under test.</summary>
    private static readonly Dictionary<uint, (string Name, int Size)> Basics = new()
    {
        [0x00] = ("?", 0), [0x03] = ("void", 0), [0x08] = ("HRESULT", 4), [0x10] = ("char", 1), [0x70] = ("char", 1), [0x20] = ("unsigned char", 1), [0x11] = ("short", 2), [0x21] = ("unsigned short", 2),
        [0x12] = ("long", 4), [0x22] = ("unsigned long", 4), [0x13] = ("long long", 8), [0x23] = ("unsigned long long", 8), [0x76] = ("long long", 8), [0x77] = ("unsigned long long", 8),
        [0x30] = ("bool", 1), [0x40] = ("f32", 4), [0x41] = ("double", 8), [0x71] = ("wchar", 2), [0x74] = ("int", 4), [0x75] = ("unsigned int", 4), [0x68] = ("int8", 1), [0x69] = ("uint8", 1),
    };

    private static string Simple(uint index) => ((index & 0x700) == 0 ? "" : "pointer to ") + "base " + (Basics.TryGetValue(index & 0xFF, out var basic) ? basic.Name : "?");

    private static List<string> Lines(string path, string what)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(Program, ["dump", what, path]) { RedirectStandardOutput = true })!;
            var lines = process.StandardOutput.ReadToEnd().Split('\n').ToList();
            process.WaitForExit();
            Assert.Equal(0, process.ExitCode);
            return lines;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip($"needs {Program}: eng/setup symbols installs it");
            throw;
        }
    }

    private static uint Hex(Match match, int group) => uint.Parse(match.Groups[group].Value, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^ +0x([0-9A-F]+) \| (LF_\w+) \[size = \d+\](?: `(.*)`)?$")]
    private static partial Regex Head();

    [GeneratedRegex(@"^- LF_MEMBER \[name = `(.*)`, Type = 0x([0-9A-F]+)(?: \(.*\))?, offset = (\d+), attrs = .*\]$")]
    private static partial Regex Member();

    [GeneratedRegex(@"^type = 0x([0-9A-F]+), offset = (\d+), attrs = ")]
    private static partial Regex Ancestor();

    [GeneratedRegex(@"\| S_PUB32 \[size = \d+\] `(.*)`$")]
    private static partial Regex PublicHead();

    [GeneratedRegex(@"addr = (\d+):(\d+)$")]
    private static partial Regex Place();

    [GeneratedRegex(@"^ +([0-9A-F]+) virtual address$")]
    private static partial Regex SectionStart();

    private sealed record Record(uint Index, string Leaf, string Name)
    {
        public List<string> Lines { get; } = [];

        public bool IsTag => Leaf is "LF_STRUCTURE" or "LF_CLASS" or "LF_UNION" or "LF_ENUM";

        public bool IsForward => Lines.Any(line => line.StartsWith("options: forward ref", StringComparison.Ordinal));

        public string Shown => Name is "<unnamed-tag>" or "__unnamed" ? $"__unnamed_{Index:x}" : Name is "<anonymous-tag>" or "__anonymous" ? $"__anonymous_{Index:x}" : Name;

        /// <summary>Enumerations and the others have names apart.</summary>
        public string Key => (Leaf == "LF_ENUM" ? "E " : "T ") + Shown;

        public string? Find(string pattern) => Lines.Select(line => Regex.Match(line, pattern)).FirstOrDefault(match => match.Success)?.Groups[1].Value;

        public uint Reference(string what) => Find($"{what}(?: =|:) 0x([0-9A-F]+)") is { } hex ? uint.Parse(hex, NumberStyles.HexNumber, CultureInfo.InvariantCulture) : 0;
    }
}
