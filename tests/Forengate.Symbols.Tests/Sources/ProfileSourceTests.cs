using System.Text;
using Forengate.Testing;
using Forengate.Testing.Twins;

namespace Forengate.Symbols.Tests;

/// <summary>Profiles from what a user names: files, packs, folders; each with its origin, before what the program carries.</summary>
public sealed class ProfileSourceTests
{
    private static readonly CodeViewRecord Small = new("ntkrnlmp.pdb", Guid.Parse("00112233445566778899AABBCCDDEEFF"), 2);

    private readonly string _folder = TwinFolders.New();

    [Fact]
    public void What_the_user_names_comes_before_what_is_carried()
    {
        var path = TwinPdbs.Get(TwinImages.Get("--build", "19041", "--memory", "128", "--drivers", "4", "--processes", "4"));
        var identity = PdbFile.Identify(path)!;
        Assert.Equal("carried pack", ProfileStore.Carried.Find(identity, out _)!.Origin);
        var store = ProfileStore.Carried.With(ProfileSource.Open(path));
        Assert.Equal(path, store.Find(identity, out var tried)!.Origin);
        Assert.Equal(path, tried);
        Assert.Equal([path, "carried pack"], store.Sources.Select(source => source.Name));
        Assert.Equal(ProfileStore.Carried.OffsetsOf(KernelField.EPROCESS_Peb), store.OffsetsOf(KernelField.EPROCESS_Peb));

        // A kernel that nobody has: each place that was looked at is named, and whose symbols lay there.
        Assert.Null(store.Find(Small, out tried));
        Assert.Equal($"{path} (of another image: {identity.Key}), carried pack (213 kernels)", tried);
    }

    [Theory]
    [InlineData("ntkrnlmp.pdb/00112233445566778899AABBCCDDEEFF-2.json")]
    [InlineData("windows/ntkrnlmp.pdb/00112233445566778899AABBCCDDEEFF-2.json")]
    [InlineData("anything/else.json")]
    [InlineData("flat.JSON")]
    public void A_file_is_found_wherever_it_lies_in_a_folder(string relative)
    {
        var path = Path.Combine(_folder, relative);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, IsfFileTests.Small);
        File.WriteAllText(Path.Combine(_folder, "odd.json"), "{");
        File.WriteAllText(Path.Combine(_folder, "odd.pdb"), "none");
        File.WriteAllText(Path.Combine(_folder, "odd.pack"), "none");
        var source = ProfileSource.Open(_folder);
        var profile = source.Find(Small, out _);
        Assert.NotNull(profile);
        Assert.Equal(path, profile.Origin);
        Assert.Equal(8, profile.OffsetOf(KernelField.EPROCESS_Peb));
        Assert.Null(source.Find(Small with { Age = 3 }, out var tried));
        Assert.Contains("1 symbol files", tried, StringComparison.Ordinal);
    }

    [Fact]
    public void A_symbol_store_is_looked_up_and_packs_in_folders_count()
    {
        var pdb = TwinPdbs.Get(TwinImages.Get("--build", "19041", "--memory", "128", "--drivers", "4", "--processes", "4"));
        var identity = PdbFile.Identify(pdb)!;
        var path = Path.Combine(_folder, "ntkrnlmp.pdb", identity.Key, "ntkrnlmp.pdb");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.Copy(pdb, path);
        File.Copy(Checkout.PathOf("src/Forengate.Symbols/Packs/carried.pack"), Path.Combine(_folder, "site.pack"));
        var source = ProfileSource.Open(_folder);
        Assert.Equal(path, source.Find(identity, out _)!.Origin);
        var other = ProfileStore.Carried.Packs[0][7];
        Assert.Equal(Path.Combine(_folder, "site.pack"), source.Find(other.CodeView, out _)!.Origin);
        Assert.Single(source.Packs);
    }

    [Fact]
    public void A_name_from_guest_memory_does_not_lead_out_of_the_folder()
    {
        var outside = Path.Combine(_folder, "secret.json");
        File.WriteAllText(outside, IsfFileTests.Small);
        var inside = Directory.CreateDirectory(Path.Combine(_folder, "symbols")).FullName;
        foreach (var name in new[] { "..", "../secret.json", "/etc/passwd", "", ".", "a\0b" })
            Assert.Null(ProfileSource.Open(inside).Find(Small with { Name = name }, out _));
    }

    [Fact]
    public void What_is_named_and_is_nothing_is_refused_in_one_line()
    {
        Assert.Contains("no such file", Assert.Throws<FileNotFoundException>(() => ProfileSource.Open(Path.Combine(_folder, "gone"))).Message, StringComparison.Ordinal);
        var path = Path.Combine(_folder, "text.txt");
        File.WriteAllText(path, "hello");
        Assert.Contains("no PDB, ISF file or profile pack", Assert.Throws<SymbolFormatException>(() => ProfileSource.Open(path)).Message, StringComparison.Ordinal);
        File.WriteAllBytes(path, Encoding.ASCII.GetBytes("FGPROFIL"));
        Assert.Throws<PackFormatException>(() => ProfileSource.Open(path));
    }
}
