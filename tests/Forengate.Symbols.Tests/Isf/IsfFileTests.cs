using System.Diagnostics;
using System.Text;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>ISF files: what Volatility's converter wrote of a real PDB, what we write of it, and files that are none.</summary>
public sealed class IsfFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("isf").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_is_written_of_a_real_PDB_is_what_Volatilitys_converter_wrote_of_it()
    {
        using var pdb = PdbFile.Open(RealData.PathOf("pdb/ntdll-x64.pdb"));
        var written = new MemoryStream();
        IsfWriter.Write(written, pdb, "ntdll.pdb");
        written.Position = 0;
        var ours = IsfFile.Open("ours", written);
        var theirs = IsfFile.Open(RealData.PathOf("pdb/ntdll-x64.expected.json.xz"));
        Assert.Equal(theirs.CodeView, ours.CodeView);
        Assert.Equal(theirs.Machine, ours.Machine);
        var types = ours.Types.ToDictionary(type => type.Name);
        foreach (var type in theirs.Types)
        {
            Assert.True(types.Remove(type.Name, out var own), type.Name);
            Assert.Equal(type.Size, own.Size);
            Assert.Equal(type.Fields.Select(field => $"{field.Name} {IsfForm.Of(field)}").Order(StringComparer.Ordinal), own.Fields.Select(field => $"{field.Name} {IsfForm.Of(field)}").Order(StringComparer.Ordinal));
        }
        Assert.Empty(types);
        Assert.Equal(theirs.Symbols.Select(symbol => symbol.Key).Order(StringComparer.Ordinal), ours.Symbols.Select(symbol => symbol.Key).Order(StringComparer.Ordinal));
        // Where both setjmp and _setjmp are linked, Volatility's converter gives the name setjmp to whichever comes last, we to setjmp.
        var other = theirs.Symbols.Where(symbol => ours.RvaOf(symbol.Key) != symbol.Value).ToList();
        Assert.All(other, symbol => Assert.Equal(pdb.Symbols.Single(linked => linked.Key == symbol.Key).Value, ours.RvaOf(symbol.Key)));
        Assert.InRange(other.Count, 1, 5);
        var enums = ours.Enums.ToDictionary(type => type.Name);
        Assert.All(theirs.Enums, type => Assert.Equal(type.Constants.OrderBy(constant => constant.Name, StringComparer.Ordinal), enums[type.Name].Constants.OrderBy(constant => constant.Name, StringComparer.Ordinal)));
        Assert.Equal(theirs.Enums.Count(), enums.Count);
    }

    [Fact]
    public void The_same_PDB_gives_the_same_bytes()
    {
        using var pdb = PdbFile.Open(RealData.PathOf("pdb/ntdll-x64.pdb"));
        using var again = PdbFile.Open(pdb.Name);
        var (first, second) = (new MemoryStream(), new MemoryStream());
        IsfWriter.Write(first, pdb);
        IsfWriter.Write(second, again);
        Assert.Equal(first.ToArray(), second.ToArray());
    }

    [Theory]
    [InlineData("plain", "")]
    [InlineData("xz", ".xz")]
    [InlineData("zstd", ".zst")]
    public void Packed_or_not_a_file_says_the_same(string tool, string ending)
    {
        var path = Path.Combine(_folder, "small.json");
        File.WriteAllText(path, Small);
        if (tool != "plain")
        {
            using var packer = Process.Start(new ProcessStartInfo(tool, ["-q", "--keep", path]))!;
            packer.WaitForExit();
            Assert.Equal(0, packer.ExitCode);
        }
        var file = IsfFile.Open(path + ending);
        Assert.Equal(new CodeViewRecord("ntkrnlmp.pdb", Guid.Parse("00112233445566778899AABBCCDDEEFF"), 2), file.CodeView);
        Assert.Equal(file.CodeView, IsfFile.Identify(path + ending));
        Assert.Equal(new Version(10, 0, 19041, 7), file.Version);
        Assert.Equal(0x1234u, file.RvaOf("PsLoadedModuleList"));
        var type = file.FindType("_EPROCESS");
        Assert.NotNull(type);
        Assert.Equal(["0 struct _KPROCESS", "8 pointer to base void", "16 15 of base unsigned char", "32 base unsigned long bits 3 2"], type.Fields.Select(IsfForm.Of));
        Assert.Equal(-1, file.FindEnum("_E")!.Constants[0].Value);

        var profile = KernelProfile.From(file);
        Assert.Equal(new Version(10, 0, 19041, 7), profile.Version);
        Assert.Equal(0x40, profile.SizeOf(KernelStruct.EPROCESS));
        Assert.Equal(8, profile.OffsetOf(KernelField.EPROCESS_Peb));
        Assert.Equal(0x1234u, profile.RvaOf(KernelGlobal.PsLoadedModuleList));
        Assert.Null(profile.RvaOf(KernelGlobal.PsActiveProcessHead));
    }

    [Theory]
    [InlineData("", "is no ISF file")]
    [InlineData("[]", "is no ISF file")]
    [InlineData("{}", "metadata.windows.pdb")]
    [InlineData("{\"metadata\":{\"linux\":{}}}", "metadata.windows.pdb")]
    [InlineData("{\"metadata\":{\"windows\":{\"pdb\":{\"GUID\":\"zz\",\"age\":1}}}}", "metadata.windows.pdb")]
    [InlineData("{\"user_types\":{\"a\":{\"size\":\"x\"}}}", "a number was expected")]
    [InlineData("{\"user_types\":{\"a\":{\"size\":1,", "is no ISF file, or damaged (line 1")]
    public void What_is_no_ISF_file_is_refused_in_one_line(string text, string expected)
    {
        var refused = Assert.Throws<SymbolFormatException>(() => IsfFile.Open("odd.json", new MemoryStream(Encoding.UTF8.GetBytes(text))));
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
        Assert.StartsWith("odd.json", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public void Letters_that_no_name_has_and_numbers_that_nothing_is_worth_are_only_that()
    {
        var odd = Small.Replace("\"_KPROCESS\"", "\"_K\\u0000\\ud83d\\ude00\"", StringComparison.Ordinal).Replace("\"count\":15", "\"count\":9223372036854775807", StringComparison.Ordinal)
            .Replace("\"offset\":8", "\"offset\":18446744073709551615", StringComparison.Ordinal)
            .Replace("\"bit_length\":2", "\"bit_length\":4294967296", StringComparison.Ordinal).Replace("\"address\":4660", "\"address\":-1", StringComparison.Ordinal);
        var file = IsfFile.Open("odd", new MemoryStream(Encoding.UTF8.GetBytes(odd)));
        var profile = KernelProfile.From(file, "odd", null);
        Assert.Null(profile.OffsetOf(KernelField.EPROCESS_Peb));
        Assert.Null(profile.RvaOf(KernelGlobal.PsLoadedModuleList));
        Assert.Equal(16, profile.OffsetOf(KernelField.EPROCESS_ImageFileName));
        foreach (var text in new[] { Small[..40] + "\0" + Small[40..], Small.Replace("4660", "1e999", StringComparison.Ordinal), Small.Replace("\"_KPROCESS\"", "\"\\ud800\"", StringComparison.Ordinal), "\0\0\0\0" })
        {
            var refused = Assert.Throws<SymbolFormatException>(() => IsfFile.Open("odd", new MemoryStream(Encoding.UTF8.GetBytes(text))));
            Assert.DoesNotContain('\n', refused.Message);
        }
    }

    [Theory]
    [InlineData("user_types", "{\"size\":1,\"fields\":{}}")]
    [InlineData("symbols", "{\"address\":1}")]
    [InlineData("enums", "{\"size\":4}")]
    [InlineData("base_types", "{}")]
    public void A_small_file_that_names_millions_of_things_is_refused_in_little_memory(string part, string each)
    {
        var text = new StringBuilder($"{{\"{part}\":{{");
        for (var i = 0; i < 1_200_000; i++)
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"\"{i}\":{each},");
        var bytes = Encoding.UTF8.GetBytes(text.ToString());
        text.Clear();
        Assert.Contains("more than 1048576", Assert.Throws<SymbolFormatException>(() => IsfFile.Open("many", new MemoryStream(bytes))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Types_nested_without_end_and_files_without_end_are_refused()
    {
        var nested = "{\"user_types\":{\"a\":{\"fields\":{\"f\":{\"type\":" + string.Concat(Enumerable.Repeat("{\"kind\":\"pointer\",\"subtype\":", 60)) + "{}";
        Assert.Contains("deep", Assert.Throws<SymbolFormatException>(() => IsfFile.Open("deep", new MemoryStream(Encoding.UTF8.GetBytes(nested)))).Message, StringComparison.OrdinalIgnoreCase);
        var limits = SymbolLimits.Default with { MaxJsonLength = 1000 };
        Assert.Contains("longer", Assert.Throws<SymbolFormatException>(() => IsfFile.Open("long", new MemoryStream(Encoding.UTF8.GetBytes("{" + new string(' ', 5000))), limits)).Message, StringComparison.Ordinal);
        var token = "{\"" + new string('x', 3 << 20);
        Assert.Contains("text of it", Assert.Throws<SymbolFormatException>(() => IsfFile.Open("token", new MemoryStream(Encoding.UTF8.GetBytes(token)))).Message, StringComparison.Ordinal);
    }

    /// <summary>One field of each kind.</summary>
    internal const string Small = """
        {"base_types":{"pointer":{"endian":"little","kind":"int","signed":false,"size":8},"unsigned char":{"endian":"little","kind":"char","signed":false,"size":1},
        "unsigned long":{"endian":"little","kind":"int","signed":false,"size":4},"void":{"endian":"little","kind":"void","signed":true,"size":0}},
        "enums":{"_E":{"base":"int","constants":{"None":-1,"One":1},"size":4}},
        "metadata":{"format":"6.1.0","producer":{"name":"someone","version":"1"},"windows":{"pe":{"major":10,"minor":0,"build":19041,"revision":7},
        "pdb":{"GUID":"00112233445566778899AABBCCDDEEFF","age":2,"database":"ntkrnlmp.pdb","machine_type":34404}}},
        "symbols":{"PsLoadedModuleList":{"address":4660},"Far":{"address":99999999999}},
        "user_types":{"_EPROCESS":{"kind":"struct","size":64,"fields":{"Pcb":{"offset":0,"type":{"kind":"struct","name":"_KPROCESS"}},
        "Peb":{"offset":8,"type":{"kind":"pointer","subtype":{"kind":"base","name":"void"}}},
        "ImageFileName":{"offset":16,"type":{"kind":"array","count":15,"subtype":{"kind":"base","name":"unsigned char"}}},
        "Bits":{"offset":32,"type":{"kind":"bitfield","bit_position":3,"bit_length":2,"type":{"kind":"base","name":"unsigned long"}}}}}}}
        """;
}
