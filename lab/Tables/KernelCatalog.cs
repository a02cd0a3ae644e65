using System.Reflection;

namespace Forengate.Lab.Tables;

/// <summary>Finds the table a build's name asks for: the carried ones by family number, any other from the data beside the checkout.</summary>
internal static class KernelCatalog
{
    /// <summary>The builds carried with the program: one of each family. 19041.329 is the one the real dump header of the test data comes from.</summary>
    public static IReadOnlyDictionary<string, string> Carried { get; } = new SortedDictionary<string, string>(StringComparer.Ordinal)
    {
        ["7601"] = "6.1.7601.24540",
        ["9600"] = "6.3.9600.20625",
        ["14393"] = "10.0.14393.5356",
        ["17763"] = "10.0.17763.2114",
        ["19041"] = "10.0.19041.329",
        ["20348"] = "10.0.20348.1006",
        ["22000"] = "10.0.22000.1042",
    };

    public static KernelTables Load(string name)
    {
        var family = Carried.FirstOrDefault(c => c.Key == name || c.Value == name).Key;
        if (family is not null)
            return LoadCarried(family);
        var shared = SharedData.Find()
            ?? throw new TableException($"build {name} is not carried with this program, and no data of other kernels is at hand: choose one of {string.Join(", ", Carried.Keys)}");
        if (shared.Build(name) is null && LayoutTables.VersionOf(name) is { } version)
            return LayoutTables.Load(shared, version);
        var build = shared.Build(name) ?? throw new TableException($"build {name} is not known: 'twin builds' lists those that are");
        return shared.Load(build);
    }

    public static KernelTables LoadCarried(string family)
    {
        using var reader = new StringReader(CarriedText(family));
        return TableText.Read(reader);
    }

    /// <summary>The carried table as it lies in the program.</summary>
    public static string CarriedText(string family)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"Forengate.Lab.Tables.{family}.txt")
            ?? throw new TableException($"the table of {family} is not in this program: run 'twin tables'");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
