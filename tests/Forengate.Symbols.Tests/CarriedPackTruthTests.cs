using System.Diagnostics;
using System.Formats.Tar;
using System.Text.Json;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>Every value of the carried pack against the table it was taken from, read here by other code than the builder's.</summary>
public sealed class CarriedPackTruthTests
{
    private const string MoreKernels = "eng/PackBuilder/more.csv";

    [Fact]
    public void Every_size_place_and_address_of_every_kernel_is_its_source()
    {
        var alive = Compare(RealData.PathOf("kernels/isf.tar.zst"), RealData.PathOf("kernels/kernels.csv"));
        Assert.Equal(ProfileStore.Carried.Packs[0].Count, File.ReadLines(RealData.PathOf("kernels/kernels.csv")).Count() + File.ReadLines(Checkout.PathOf(MoreKernels)).Count() - 2);
        // A column that no kernel fills is a misspelling.
        Assert.Empty(Enum.GetValues<KernelStruct>().Except(alive.Structs));
        Assert.Empty(Enum.GetValues<KernelField>().Except(alive.Fields));
        Assert.Empty(Enum.GetValues<KernelGlobal>().Except(alive.Globals));
    }

    /// <summary>The same for the kernels whose tables are not in the folder of real data: FORENGATE_MORE_TABLES names an archive of them (docs/formats/profile-pack.md says how it is made).</summary>
    [Fact]
    public void So_it_is_for_the_kernels_whose_tables_lie_elsewhere()
    {
        if (Environment.GetEnvironmentVariable("FORENGATE_MORE_TABLES") is not { Length: > 0 } archive)
        {
            Assert.Skip("FORENGATE_MORE_TABLES names no archive");
            return;
        }
        Compare(archive, Checkout.PathOf(MoreKernels));
    }

    private static (HashSet<KernelStruct> Structs, HashSet<KernelField> Fields, HashSet<KernelGlobal> Globals) Compare(string archive, string names)
    {
        var versions = File.ReadLines(names).Skip(1).Select(line => line.Split(',')).ToDictionary(cells => cells[2], cells => cells[0].Replace("10.0.18326.", "10.0.18362.", StringComparison.Ordinal)); // As docs/kernels.md says.
        var alive = (Structs: new HashSet<KernelStruct>(), Fields: new HashSet<KernelField>(), Globals: new HashSet<KernelGlobal>());
        var pack = ProfileStore.Carried.Packs[0];
        var kernels = 0;
        using var unpacker = Process.Start(new ProcessStartInfo("zstd", ["-dc", "--", archive]) { RedirectStandardOutput = true })!;
        using (var tar = new TarReader(unpacker.StandardOutput.BaseStream))
        {
            while (tar.GetNextEntry() is { } entry)
            {
                if (entry.DataStream is null || !entry.Name.StartsWith("ntkrnlmp.pdb/", StringComparison.Ordinal))
                    continue;
                kernels++;
                using var json = JsonDocument.Parse(entry.DataStream);
                var pdb = json.RootElement.GetProperty("metadata").GetProperty("windows").GetProperty("pdb");
                var (guid, age) = (Guid.ParseExact(pdb.GetProperty("GUID").GetString()!, "N"), pdb.GetProperty("age").GetUInt32());
                var profile = pack.Find(guid, age);
                Assert.NotNull(profile);
                Assert.Equal(pdb.GetProperty("database").GetString(), profile.CodeView.Name);
                Assert.Equal(versions[Path.GetFileNameWithoutExtension(entry.Name)], profile.Version.ToString());
                Compare(profile, new Source(json.RootElement), alive);
            }
        }
        unpacker.WaitForExit();
        Assert.Equal(0, unpacker.ExitCode);
        Assert.Equal(versions.Count, kernels);
        return alive;
    }

    private static void Compare(KernelProfile profile, Source source, (HashSet<KernelStruct> Structs, HashSet<KernelField> Fields, HashSet<KernelGlobal> Globals) alive)
    {
        var wrong = new List<string>();
        foreach (var type in Enum.GetValues<KernelStruct>())
        {
            var expected = source.Size(KernelSchema.Structs[(int)type]);
            if (expected is not null)
                alive.Structs.Add(type);
            if (expected != profile.SizeOf(type))
                wrong.Add($"{type}: {profile.SizeOf(type)} instead of {expected}");
        }
        foreach (var field in Enum.GetValues<KernelField>())
        {
            var (owner, name) = KernelSchema.Fields[(int)field];
            var expected = source.Place(KernelSchema.Structs[(int)owner], name);
            if (expected is not null)
                alive.Fields.Add(field);
            if (expected != profile.Field(field))
                wrong.Add($"{field}: {profile.Field(field)} instead of {expected}");
        }
        foreach (var global in Enum.GetValues<KernelGlobal>())
        {
            var expected = source.Address(KernelSchema.Globals[(int)global]);
            if (expected is not null)
                alive.Globals.Add(global);
            if (expected != profile.RvaOf(global))
                wrong.Add($"{global}: {profile.RvaOf(global)} instead of {expected}");
        }
        Assert.True(wrong.Count == 0, $"{profile}: {string.Join("; ", wrong.Take(20))}");
    }

    /// <summary>A table flattened once: what "type.member" is, and of what type.</summary>
    private sealed class Source
    {
        private readonly Dictionary<string, int> _sizes = [];
        private readonly Dictionary<(string Type, string Member), (FieldPlace Place, string? Nested)> _members = [];
        private readonly Dictionary<string, uint> _symbols = [];

        public Source(JsonElement root)
        {
            foreach (var type in root.GetProperty("user_types").EnumerateObject())
            {
                _sizes.Add(type.Name, type.Value.GetProperty("size").GetInt32());
                foreach (var member in type.Value.GetProperty("fields").EnumerateObject())
                {
                    var form = member.Value.GetProperty("type");
                    var kind = form.GetProperty("kind").GetString();
                    var bits = kind == "bitfield" ? (form.GetProperty("bit_position").GetInt32(), form.GetProperty("bit_length").GetInt32()) : (0, 0);
                    _members.Add(
                        (type.Name, member.Name),
                        (new FieldPlace(member.Value.GetProperty("offset").GetInt32(), bits.Item1, bits.Item2), kind is "struct" or "union" or "class" ? form.GetProperty("name").GetString() : null));
                }
            }
            foreach (var symbol in root.GetProperty("symbols").EnumerateObject())
                _symbols.Add(symbol.Name, symbol.Value.GetProperty("address").GetUInt32());
        }

        public int? Size(string types) => Existing(types) is { } type ? _sizes[type] : null;

        public uint? Address(string symbol) => _symbols.TryGetValue(symbol, out var address) ? address : null;

        public FieldPlace? Place(string types, string paths) =>
            Existing(types) is { } type ? paths.Split('|').Select(path => Follow(type, path)).FirstOrDefault(place => place is not null) : null;

        private FieldPlace? Follow(string type, string path)
        {
            var dot = path.IndexOf('.', StringComparison.Ordinal);
            if (!_members.TryGetValue((type, dot < 0 ? path : path[..dot]), out var member))
                return null;
            if (dot < 0)
                return member.Place;
            return member.Nested is { } nested && Follow(nested, path[(dot + 1)..]) is { } inner ? inner with { Offset = member.Place.Offset + inner.Offset } : null;
        }

        private string? Existing(string types) => types.Split('|').FirstOrDefault(_sizes.ContainsKey);
    }
}
