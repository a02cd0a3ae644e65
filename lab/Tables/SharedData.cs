using System.Diagnostics;
using System.Formats.Tar;
using System.Globalization;
using System.Xml;

namespace Forengate.Lab.Tables;

/// <summary>
/// The folder of real kernels' type tables that may lie beside a checkout (<c>../shared/data</c>): 181 ISF files in one zstd-compressed tar.
/// The chosen one is taken out once and kept in a cache folder.
/// </summary>
internal sealed class SharedData
{
    /// <summary>The list swaps two digits of the build of 18362.535 and .778: there is no 18326 with such revisions, and the types are those of 18362.</summary>
    private const string Misprint = "10.0.18326.", Meant = "10.0.18362.";

    private const string Variable = "FORENGATE_KERNEL_DATA";
    private readonly string _folder;

    private SharedData(string folder) => _folder = folder;

    /// <summary>The data beside this checkout, or where the variable FORENGATE_KERNEL_DATA points; null where there is none.</summary>
    public static SharedData? Find()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
            return File.Exists(Path.Combine(named, "kernels", "kernels.csv")) ? new SharedData(named) : null;
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (!File.Exists(Path.Combine(folder.FullName, "Forengate.slnx")))
                continue;
            var data = Path.Combine(folder.FullName, "..", "shared", "data");
            return File.Exists(Path.Combine(data, "kernels", "kernels.csv")) ? new SharedData(Path.GetFullPath(data)) : null;
        }
        return null;
    }

    /// <summary>All builds of the archive, in the archive's order: version, PDB GUID and age.</summary>
    public IReadOnlyList<KernelBuild> Builds()
    {
        var builds = new List<KernelBuild>();
        foreach (var line in File.ReadLines(Path.Combine(_folder, "kernels", "kernels.csv")).Skip(1))
        {
            var words = line.Split(',');
            if (words.Length < 3 || words[2].Split('-') is not [var guid, var age])
                continue;
            builds.Add(new KernelBuild(words[0].Replace(Misprint, Meant, StringComparison.Ordinal), guid, uint.Parse(age, NumberStyles.None, CultureInfo.InvariantCulture), 0, 0));
        }
        return builds;
    }

    /// <summary>The build a version or a PDB GUID names, or null.</summary>
    public KernelBuild? Build(string name)
    {
        var guid = name.Replace("-", "", StringComparison.Ordinal);
        return Builds().FirstOrDefault(b => b.Version == name
            || b.Guid.Equals(name, StringComparison.OrdinalIgnoreCase)
            || $"{b.Guid}{b.Age}".Equals(guid, StringComparison.OrdinalIgnoreCase));
    }

    public KernelTables Load(KernelBuild build) => IsfReader.Read(LoadIsf(build), WithImage(build));

    /// <summary>A build's full table as it lies in the archive: Volatility 3's ISF, JSON.</summary>
    public byte[] LoadIsf(KernelBuild build)
    {
        var name = $"{build.Guid}-{build.Age}.json";
        var cached = Path.Combine(CacheFolder(), name);
        if (!File.Exists(cached))
            Extract("isf.tar.zst", "ntkrnlmp.pdb/" + name, cached);
        return File.ReadAllBytes(cached);
    }

    /// <summary>The types of an x64 build that is known by version only, as they lie in the archive (ISF without symbols).</summary>
    public byte[] LoadLayout(string version)
    {
        var name = $"{version}-x64.json";
        var cached = Path.Combine(CacheFolder(), name);
        if (!File.Exists(cached))
            Extract("layouts.tar.zst", name, cached);
        return File.ReadAllBytes(cached);
    }

    private static string CacheFolder()
    {
        var root = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (string.IsNullOrEmpty(root))
            root = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return Path.Combine(root, "forengate", "lab", "isf");
    }

    private void Extract(string archiveName, string entryName, string target)
    {
        var archive = Path.Combine(_folder, "kernels", archiveName);
        using var zstd = Process.Start(new ProcessStartInfo("zstd", ["-dc", archive]) { RedirectStandardOutput = true, RedirectStandardError = true })
            ?? throw new TableException("zstd cannot be started: install zstd");
        try
        {
            using var tar = new TarReader(zstd.StandardOutput.BaseStream);
            while (tar.GetNextEntry() is { } entry)
            {
                if (entry.Name.TrimStart('.', '/') != entryName)
                    continue;
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                var half = $"{target}.{Environment.ProcessId}";
                entry.ExtractToFile(half, overwrite: true);
                File.Move(half, target, overwrite: true);
                return;
            }
        }
        finally
        {
            if (!zstd.HasExited)
                zstd.Kill();
        }
        throw new TableException($"{archive} has no {entryName}");
    }

    /// <summary>SizeOfImage and TimeDateStamp of the file, where System Informer's table knows it.</summary>
    private KernelBuild WithImage(KernelBuild build)
    {
        var path = Path.Combine(_folder, "offsets", "kphdyn.xml");
        if (!File.Exists(path))
            return build;
        using var xml = XmlReader.Create(path);
        while (xml.Read())
        {
            if (xml.NodeType == XmlNodeType.Element && xml.Name == "data" && xml.GetAttribute("arch") == "amd64"
                && xml.GetAttribute("file") == "ntoskrnl.exe" && xml.GetAttribute("version") == build.Version)
            {
                return build with { ImageSize = Hex(xml.GetAttribute("size")), Timestamp = Hex(xml.GetAttribute("timestamp")) };
            }
        }
        return build;
    }

    private static uint Hex(string? text) =>
        text is not null && uint.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) ? value : 0;
}
