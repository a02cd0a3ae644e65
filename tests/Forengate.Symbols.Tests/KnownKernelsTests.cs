using System.Text;
using Forengate.Testing;

namespace Forengate.Symbols.Tests;

/// <summary>The lists of known kernels in docs/kernels.md and README.md say what the carried pack holds.</summary>
public sealed class KnownKernelsTests
{
    private static readonly Dictionary<int, string> s_names = new()
    {
        [2600] = "XP SP3", [3790] = "Server 2003 SP2, XP x64", [6000] = "Vista", [6001] = "Vista SP1, Server 2008", [6002] = "Vista SP2", [7600] = "7, Server 2008 R2", [7601] = "7 SP1, Server 2008 R2 SP1",
        [9200] = "8, Server 2012", [9600] = "8.1, Server 2012 R2", [10240] = "10 1507", [10586] = "10 1511", [14393] = "10 1607, Server 2016", [15063] = "10 1703", [16299] = "10 1709", [17134] = "10 1803",
        [17763] = "10 1809, Server 2019", [18362] = "10 1903, 1909", [19041] = "10 2004 to 22H2", [19045] = "10 22H2", [20348] = "Server 2022", [22000] = "11 21H2", [22631] = "11 22H2, 23H2", [26100] = "11 24H2, Server 2025",
    };

    [Fact]
    public void The_documents_list_the_carried_kernels()
    {
        var table = Table();
        Assert.True(File.ReadAllText(Checkout.PathOf("docs/kernels.md")).Contains(table, StringComparison.Ordinal), $"docs/kernels.md lacks this table:\n{table}");
        var length = new FileInfo(Checkout.PathOf("src/Forengate.Symbols/Packs/carried.pack")).Length;
        Assert.Contains($"{ProfileStore.Carried.Packs[0].Count} kernels and {ProfileStore.Carried.Layouts.Count()} layouts by version take {length:#,0} bytes", File.ReadAllText(Checkout.PathOf("README.md")), StringComparison.Ordinal);
    }

    [Fact]
    public void The_README_counts_the_carried_kernels_of_each_build()
    {
        var readme = File.ReadAllText(Checkout.PathOf("README.md"));
        foreach (var build in ProfileStore.Carried.Profiles.GroupBy(profile => profile.Version.Build))
            Assert.Matches($@"[ |]{build.Key}( \([^)]*\))?: {build.Count()}[ ;]", readme);
        foreach (var build in ProfileStore.Carried.Layouts.Where(layout => layout.Version.Build >= 10586).Select(layout => layout.Version.Build).Distinct())
            Assert.Contains($"{build}", readme, StringComparison.Ordinal);
    }

    private static string Table()
    {
        var text = new StringBuilder("| build | Windows | x64, carried | x64, carried without globals | x86, carried without globals |\n|---|---|---|---|---|\n");
        var profiles = ProfileStore.Carried.Profiles.ToLookup(profile => profile.Version.Build);
        var layouts = ProfileStore.Carried.Layouts.ToLookup(layout => layout.Version.Build);
        foreach (var build in profiles.Select(group => group.Key).Union(layouts.Select(group => group.Key)).Order())
        {
            var known = profiles[build].Select(profile => profile.Version).Distinct().Order().ToList();
            var carried = known.Count == 0 ? "" : known.Count == 1 ? $"{known[0]}" : $"{known[0]} to {known[^1]}: {profiles[build].Count()}";
            text.Append($"| {build} | {s_names[build]} | {carried} | {Versions(layouts[build], VersionLayout.MachineX64)} | {Versions(layouts[build], VersionLayout.MachineX86)} |\n");
        }
        return text.ToString();
    }

    private static string Versions(IEnumerable<VersionLayout> layouts, ushort machine) =>
        string.Join(", ", layouts.Where(layout => layout.Machine == machine).Select(layout => layout.Origin.StartsWith("Vergilius", StringComparison.Ordinal) ? $"{layout.Version}" : $"{layout.Version} ({layout.Origin})"));
}
