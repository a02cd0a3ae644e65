using System.Text.Json;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>Kernels of which a layout is known by version only: it is held against memory, and either completes what was deduced or is refused by name.</summary>
public sealed class VersionLayoutTests
{
    private const string Lived = "--cpus 2 --cpu-modes mixed --processes 60 --exited 6 --memory 256 --kva off";

    public static TheoryData<string> Published =>
    [
        "6.1.7601.17514", "6.3.9600.17415", "10.0.10240.16384", "10.0.15063.0", "10.0.16299.15", "10.0.17134.1", "10.0.19045.2965", "10.0.22631.2428",
    ];

    [Theory]
    [MemberData(nameof(Published))]
    public void TheLayoutOfTheVersionCompletesWhatMemoryShows(string version)
    {
        var twin = Twin($"--build {version} --seed 61 {Lived}");
        using var view = twin.Open();
        var system = DeducedSystemTests.Find(view, ProfileStore.Carried);
        var layout = LayoutOf(version);
        var profile = system.KernelFacts.Single(fact => fact.Name == "profile");
        Assert.Contains($"layout of {version} (Vergilius Project), globals deduced", profile.How, StringComparison.Ordinal);
        Assert.True(system.Proof.Holds);
        var judged = DeductionTruth.Judge(twin.Truth, Real(layout, system), system.Profile);
        Assert.Empty(judged.Wrong);
        Assert.True(judged.Recall >= 0.97, $"{judged.Found} of {judged.Needed}, missing {string.Join(", ", judged.Missing)}");
        // What no dump shows to deduction comes from the layout.
        Assert.Equal(layout.OffsetOf(KernelField.EPROCESS_Token), system.Profile.OffsetOf(KernelField.EPROCESS_Token));
        Assert.Equal(layout.OffsetOf(KernelField.KPROCESS_ProfileListHead), system.Profile.OffsetOf(KernelField.KPROCESS_ProfileListHead));
        Assert.Equal(layout.SizeOf(KernelStruct.EPROCESS), system.Profile.SizeOf(KernelStruct.EPROCESS));
        var all = twin.Truth.GetProperty("processes").EnumerateArray().Where(p => p.GetProperty("pid").GetUInt64() != 0).ToList();
        Compare(all.Where(p => p.GetProperty("listed").GetBoolean()), ProcessList.Walk(system));
        Compare(all, ProcessList.Scan(system));
        var drivers = twin.Truth.GetProperty("drivers").EnumerateArray().ToList();
        TwinTests.Compare(drivers.Where(d => !d.GetProperty("hidden").GetBoolean()), DriverList.Walk(system).Items);
    }

    /// <summary>The version says one layout, memory shows another: the layout is refused by name, with where it is wrong, and memory alone is believed.</summary>
    [Theory]
    [InlineData("10.0.22631.2428", 7)]
    [InlineData("10.0.17134.1", 8)]
    public void ALayoutThatContradictsMemoryIsRefused(string version, int shuffle)
    {
        var twin = Twin($"--build {version} --seed 62 --shuffle {shuffle} {Lived}");
        using var view = twin.Open();
        var system = DeducedSystemTests.Find(view, ProfileStore.Carried);
        var refused = system.KernelFacts.Single(fact => fact.Name == $"not deduced: layout of {version} (Vergilius Project)");
        Assert.Contains("contradicts memory", refused.How, StringComparison.Ordinal);
        Assert.Matches(@"_[A-Z]+\.\w+ \+0x[0-9a-f]+, memory shows \+0x[0-9a-f]+", refused.How);
        Assert.StartsWith("deduced from the kernel's own memory", system.KernelFacts.Single(fact => fact.Name == "profile").How, StringComparison.Ordinal);
        Assert.Empty(DeductionTruth.Judge(twin.Truth, Real(LayoutOf(version), system), system.Profile).Wrong);
    }

    /// <summary>Another build's layout is a hypothesis for the few fields that lists and dumps ask for, no more.</summary>
    [Fact]
    public void TheLayoutOfAnotherBuildTellsOnlyWhatIsNeeded()
    {
        var twin = Twin($"--build 10.0.19045.2965 --seed 61 {Lived}");
        using var view = twin.Open();
        var none = ProfileStore.Carried.Where(_ => false);
        var system = DeducedSystemTests.Find(view, none.WhereLayouts(layout => layout.Version.Build != 19045));
        Assert.Contains("layout of 10.0.19041", system.KernelFacts.Single(fact => fact.Name == "profile").How, StringComparison.Ordinal);
        Assert.NotNull(system.Profile.OffsetOf(KernelField.KPROCESS_ProfileListHead));
        Assert.Null(system.Profile.OffsetOf(KernelField.EPROCESS_Token));
        Assert.Empty(DeductionTruth.Judge(twin.Truth, Real(LayoutOf("10.0.19045.2965"), system), system.Profile).Wrong);
    }

    private static TwinImage Twin(string options)
    {
        _ = Forengate.Testing.RealData.PathOf("kernels/layouts.tar.zst");
        return TwinImage.Of(options);
    }

    private static VersionLayout LayoutOf(string version) =>
        ProfileStore.Carried.Layouts.Single(layout => layout.Version == Version.Parse(version) && layout.Machine == VersionLayout.MachineX64 && layout.Origin.StartsWith("Vergilius", StringComparison.Ordinal));

    private static KernelProfile Real(VersionLayout layout, WindowsSystem system) => new(system.Image.CodeView, layout.Version, layout.Origin, layout.ToTable(), isDeduced: false);

    private static void Compare(IEnumerable<JsonElement> truth, Listing<Process> listing)
    {
        var expected = truth.OrderBy(p => p.GetProperty("pid").GetUInt64()).ToList();
        Assert.Equal(expected.Select(p => p.GetProperty("pid").GetUInt64()), listing.Items.Select(p => p.Id).Order());
        foreach (var (one, process) in expected.Zip(listing.Items.OrderBy(p => p.Id)))
            TwinTests.Compare(one, process);
    }
}
