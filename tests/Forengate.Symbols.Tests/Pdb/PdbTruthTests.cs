using System.Diagnostics;
using System.Text.Json;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>A real PDB of Microsoft's linker against what another project's converter reads in it: every type, every field, every constant, every symbol.</summary>
public sealed class PdbTruthTests
{
    [Fact]
    public void Every_type_of_a_real_PDB_is_what_Volatilitys_converter_reads()
    {
        using var pdb = PdbFile.Open(RealData.PathOf("pdb/ntdll-x64.pdb"));
        using var expected = Expected();
        var wrong = new List<string>();
        var (types, fields, bits) = (0, 0, 0);
        foreach (var type in expected.RootElement.GetProperty("user_types").EnumerateObject())
        {
            if (pdb.FindType(type.Name) is not { } layout)
            {
                wrong.Add($"{type.Name} is not found");
                continue;
            }
            types++;
            var kind = layout.Kind == TypeKind.Union ? "union" : "struct";
            if (type.Value.GetProperty("size").GetInt64() != layout.Size || type.Value.GetProperty("kind").GetString() != kind)
                wrong.Add($"{type.Name}: {kind} of {layout.Size} bytes");
            var seen = layout.Fields.ToDictionary(field => field.Name, IsfForm.Of);
            foreach (var field in type.Value.GetProperty("fields").EnumerateObject())
            {
                fields++;
                var form = IsfForm.Of(field.Value);
                bits += form.Contains("bits", StringComparison.Ordinal) ? 1 : 0;
                if (!seen.Remove(field.Name, out var ours) || ours != form)
                    wrong.Add($"{type.Name}.{field.Name}: {ours} instead of {form}");
            }
            wrong.AddRange(seen.Keys.Select(more => $"{type.Name}.{more} is not in the expected file"));
        }
        Assert.True(wrong.Count == 0, $"{wrong.Count}: {string.Join("\n", wrong.Take(20))}");
        Assert.Equal((596, 6114), (types, fields));
        Assert.InRange(bits, 900, int.MaxValue);
        Assert.Equal(types, pdb.Types.Count());
        Assert.Equal(494, pdb.Types.Count(type => !type.Name.StartsWith("__anonymous", StringComparison.Ordinal)));
        Assert.Empty(pdb.Damage);
    }

    [Fact]
    public void Every_enumeration_of_a_real_PDB_is_what_Volatilitys_converter_reads()
    {
        using var pdb = PdbFile.Open(RealData.PathOf("pdb/ntdll-x64.pdb"));
        using var expected = Expected();
        var constants = 0;
        foreach (var known in expected.RootElement.GetProperty("enums").EnumerateObject())
        {
            var read = pdb.FindEnum(known.Name);
            Assert.NotNull(read);
            Assert.Equal(known.Value.GetProperty("base").GetString(), read.Underlying.Name);
            Assert.Equal(known.Value.GetProperty("size").GetInt64(), read.Underlying.Size);
            var values = read.Constants.ToDictionary(constant => constant.Name, constant => constant.Value);
            foreach (var constant in known.Value.GetProperty("constants").EnumerateObject())
            {
                Assert.True(values.Remove(constant.Name, out var value), $"{known.Name}.{constant.Name}");
                Assert.Equal(constant.Value.GetInt64(), value);
                constants++;
            }
            Assert.Empty(values);
        }
        Assert.Equal(expected.RootElement.GetProperty("enums").EnumerateObject().Count(), pdb.Enums.Count());
        Assert.Equal(1333, constants);
    }

    [Fact]
    public void Every_symbol_of_a_real_PDB_has_its_address()
    {
        using var pdb = PdbFile.Open(RealData.PathOf("pdb/ntdll-x64.pdb"));
        using var expected = Expected();
        var compared = 0;
        foreach (var symbol in expected.RootElement.GetProperty("symbols").EnumerateObject())
        {
            var name = symbol.Value.TryGetProperty("linkage_name", out var linked) ? linked.GetString()! : symbol.Name;
            Assert.True(pdb.RvaOf(name) == symbol.Value.GetProperty("address").GetUInt32(), $"{name}: {pdb.RvaOf(name):x}");
            compared++;
        }
        Assert.Equal(6296, compared);
    }

    [Fact]
    public void A_real_PDB_says_which_image_it_belongs_to()
    {
        var path = RealData.PathOf("pdb/ntdll-x64.pdb");
        using var pdb = PdbFile.Open(path);
        using var expected = Expected();
        var metadata = expected.RootElement.GetProperty("metadata").GetProperty("windows").GetProperty("pdb");
        Assert.Equal(metadata.GetProperty("GUID").GetString() + "1", pdb.CodeView.Key);
        Assert.Equal(3u, pdb.OwnAge);
        Assert.Equal(metadata.GetProperty("machine_type").GetInt32(), pdb.Machine);
        Assert.Equal(pdb.CodeView, PdbFile.Identify(path));
        Assert.Equal("ntdll-x64.pdb", pdb.CodeView.Name);
        Assert.Contains(pdb.Texts(), text => text.EndsWith("ntdll.pdb", StringComparison.Ordinal));
        Assert.Contains("/LinkInfo", pdb.NamedStreams.Keys);
        Assert.Contains(pdb.Modules, module => module.Name.EndsWith(@"\xtoa.obj", StringComparison.Ordinal));
    }

    private static JsonDocument Expected()
    {
        using var unpacker = Process.Start(new ProcessStartInfo("xz", ["-dc", "--", RealData.PathOf("pdb/ntdll-x64.expected.json.xz")]) { RedirectStandardOutput = true })!;
        return JsonDocument.Parse(unpacker.StandardOutput.BaseStream);
    }
}
