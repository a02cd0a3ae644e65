using System.Globalization;
using System.Text.Json;
using Forengate.Lab.Image;
using Forengate.Lab.Pdb;
using Forengate.Lab.Tables;

namespace Forengate.Lab;

/// <summary><c>twin pdb DIR</c>: the PDB of a twin's kernel.</summary>
internal static class PdbVerb
{
    public const string Usage = """
        twin pdb DIR [--out FILE]  writes the PDB of the twin's kernel (DIR/ntkrnlmp.pdb): its identity, types, and public symbols where the twin has them
        """;

    public static int Run(ReadOnlySpan<string> arguments)
    {
        var (folder, target) = arguments switch
        {
            [var only] => (only, Path.Combine(only, "ntkrnlmp.pdb")),
            [var only, "--out", var file] => (only, file),
            _ => throw new UsageException("twin pdb takes the folder of a twin, and --out FILE"),
        };
        var truth = Path.Combine(folder, "truth.json");
        if (!File.Exists(truth))
            throw new UsageException($"{folder} is no folder of a twin: it has no truth.json");
        using var document = JsonDocument.Parse(File.ReadAllBytes(truth));
        var build = document.RootElement.GetProperty("build");
        var sections = document.RootElement.GetProperty("kernel").GetProperty("sections").EnumerateArray().Select(Section).ToList();
        var guid = Guid.ParseExact(build.GetProperty("pdbGuid").GetString()!, "N");
        var bytes = PdbWriter.Write(
            guid.ToByteArray(), build.GetProperty("pdbAge").GetUInt32(), @"d:\twin\" + build.GetProperty("pdbName").GetString(), sections,
            Source(build.GetProperty("version").GetString()!, document.RootElement.GetProperty("options")), out var counts);
        File.WriteAllBytes(target, bytes);
        Console.Out.WriteLine($"{target}: {bytes.Length} bytes, {counts.Types} types in {counts.Records} records, {counts.Publics} public symbols");
        return 0;
    }

    /// <summary>All types of the build where the data beside the checkout has them, else those that twins are made of.</summary>
    /// <remarks>Of a shuffled twin only what it is made of: the rest has no place in such a kernel.</remarks>
    private static PdbTypeSource Source(string version, JsonElement options) =>
        options.TryGetProperty("shuffle", out var shuffle) && shuffle.ValueKind == JsonValueKind.Number ? PdbTypeSource.Of(LayoutShuffle.Apply(KernelCatalog.Load(version), shuffle.GetUInt64()))
        : SharedData.Find() is { } shared && shared.Build(version) is { } build ? PdbTypeSource.Of(shared.LoadIsf(build))
        : PdbTypeSource.Of(KernelCatalog.Load(version));

    private static PeSection Section(JsonElement section)
    {
        var name = section.GetProperty("name").GetString()!;
        // As the twin's kernel has them; what a debugger learns from them is what is code.
        var kind = name switch
        {
            ".data" or "ALMOSTRO" => PeSection.Data,
            ".rdata" or ".edata" or ".rsrc" or ".reloc" => PeSection.ReadOnlyData,
            _ => PeSection.Code,
        };
        return new PeSection(name, Hex(section.GetProperty("rva")), Hex(section.GetProperty("size")), kind);
    }

    private static uint Hex(JsonElement number) => uint.Parse(number.GetString().AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
