using Forengate.Lab.Image;
using Forengate.Lab.Machine;

namespace Forengate.Lab.Tables;

/// <summary>Makes the carried tables: builds images of many kinds from each full table, and writes down what was looked up.</summary>
internal static class TableVerb
{
    public static KernelTables Used(KernelTables full)
    {
        foreach (var options in Variants(full.Build.Version))
            Truth.TruthBuilder.Build(ImageBuilder.Build(options, full, HaltingCode.Assemble));
        return full;
    }

    public static IEnumerable<TwinOptions> Variants(string build)
    {
        var common = new TwinOptions { Build = build, Processes = 40, ExitedProcesses = 4, HiddenProcesses = 2, MemorySize = 256 * TwinOptions.MiB };
        yield return common;
        yield return common with { KvaShadow = false, CpuCount = 3, CpuModes = CpuModes.Mixed, KdbgEncoded = false, Bugcheck = new Bugcheck(0xE2, 1, 2, 3, 4) };
        yield return common with { CpuCount = 6, CpuModes = CpuModes.Mixed, LowSize = 96 * TwinOptions.MiB };
    }

    /// <summary>Writes one file for each family into a folder.</summary>
    public static void Write(SharedData shared, string folder)
    {
        foreach (var (family, version) in KernelCatalog.Carried)
        {
            var build = shared.Build(version) ?? throw new TableException($"the data beside the checkout has no {version}");
            var path = Path.Combine(folder, family + ".txt");
            File.WriteAllText(path, TableText.Write(Used(shared.Load(build))));
            Console.Out.WriteLine($"{path}: {new FileInfo(path).Length} bytes");
        }
    }
}
