using System.Text.Json;
using Forengate.Testing.Twins;

namespace Forengate.Symbols.Tests;

/// <summary>The PDB of a twin's kernel, written by the lab's own code from a real build's table, becomes the profile that the carried pack has of that build.</summary>
public sealed class TwinPdbTests
{
    [Theory]
    [InlineData("7601")]
    [InlineData("17763")]
    [InlineData("19041")]
    [InlineData("22000")]
    public void A_twins_PDB_becomes_its_kernels_profile(string build)
    {
        using var pdb = PdbFile.Open(TwinPdbs.Get(TwinImages.Get("--build", build, "--memory", "128", "--drivers", "4", "--processes", "4")));
        var carried = ProfileStore.Carried.Find(pdb.CodeView, out _);
        Assert.NotNull(carried);
        Assert.Equal(carried.CodeView, pdb.CodeView);
        var profile = KernelProfile.From(pdb);
        Assert.Equal(pdb.Name, profile.Origin);
        // Without the full tables beside the checkout the lab knows only what twins are made of.
        var whole = pdb.Types.Count() > 1000;
        var (compared, wrong) = (0, new List<string>());
        foreach (var type in Enum.GetValues<KernelStruct>())
            Same(type, profile.SizeOf(type), carried.SizeOf(type));
        foreach (var field in Enum.GetValues<KernelField>())
            Same(field, profile.Field(field), carried.Field(field));
        foreach (var global in Enum.GetValues<KernelGlobal>())
            Same(global, profile.RvaOf(global), carried.RvaOf(global));
        Assert.True(wrong.Count == 0, $"{wrong.Count}: {string.Join("; ", wrong.Take(20))}");
        Assert.InRange(compared, whole ? 2000 : 150, int.MaxValue);
        Assert.Empty(pdb.Damage);

        void Same<T>(object what, T? ours, T? expected)
            where T : struct
        {
            if (!whole && ours is null)
                return;
            compared += expected is null ? 0 : 1;
            if (!Equals(ours, expected))
                wrong.Add($"{what}: {ours} instead of {expected}");
        }
    }

    /// <summary>A kernel that no table knows: its PDB says where the twin's truth has its fields.</summary>
    [Fact]
    public void A_shuffled_twins_PDB_says_what_its_truth_says()
    {
        var image = TwinImages.Get("--build", "19041", "--shuffle", "5", "--memory", "128", "--drivers", "4", "--processes", "4");
        using var truth = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(image, "truth.json")));
        using var pdb = PdbFile.Open(TwinPdbs.Get(image));
        Assert.Null(ProfileStore.Carried.Find(pdb.CodeView, out _));
        Assert.Equal(truth.RootElement.GetProperty("build").GetProperty("pdbGuid").GetString(), pdb.CodeView.Guid.ToString("N").ToUpperInvariant());
        var head = truth.RootElement.GetProperty("globals").EnumerateArray().Single(global => global.GetProperty("name").GetString() == "PsActiveProcessHead");
        Assert.Equal(Convert.ToUInt32(head.GetProperty("rva").GetString(), 16), KernelProfile.From(pdb).RvaOf(KernelGlobal.PsActiveProcessHead));
        var carried = ProfileStore.Carried.Profiles.Single(profile => profile.Version == new Version(10, 0, 19041, 329));
        Assert.NotEqual(carried.OffsetOf(KernelField.EPROCESS_Token), KernelProfile.From(pdb).OffsetOf(KernelField.EPROCESS_Token));
    }

    /// <summary>One that Volatility would take: the same profile again by way of ISF.</summary>
    [Fact]
    public void Written_as_ISF_and_read_again_it_is_the_same_profile()
    {
        using var pdb = PdbFile.Open(TwinPdbs.Get(TwinImages.Get("--build", "19041", "--memory", "128", "--drivers", "4", "--processes", "4")));
        var written = new MemoryStream();
        IsfWriter.Write(written, pdb);
        written.Position = 0;
        var isf = IsfFile.Open("isf", written);
        var (one, other) = (KernelProfile.From(pdb), KernelProfile.From(isf));
        Assert.Equal(one.CodeView, other.CodeView);
        Assert.All(Enum.GetValues<KernelStruct>(), type => Assert.Equal(one.SizeOf(type), other.SizeOf(type)));
        Assert.All(Enum.GetValues<KernelField>(), field => Assert.Equal(one.Field(field), other.Field(field)));
        Assert.All(Enum.GetValues<KernelGlobal>(), global => Assert.Equal(one.RvaOf(global), other.RvaOf(global)));
    }
}
