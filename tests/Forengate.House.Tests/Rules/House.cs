using System.Xml.Linq;
using Forengate.Testing;

namespace Forengate.House.Tests.Rules;

/// <summary>What the checkout holds: its rooms, their assemblies, its files.</summary>
internal static class House
{
    /// <summary>Folders that hold what was built or fetched, and what git keeps for itself.</summary>
    private static readonly string[] NotOurs = ["artifacts", ".cache", ".git", "bin", "obj", "BenchmarkDotNet.Artifacts", "TestResults"];

    private static readonly string[] TextEndings =
        ["", ".cs", ".c", ".h", ".inf", ".md", ".csproj", ".props", ".targets", ".slnx", ".json", ".jsonl", ".csv", ".txt", ".sh", ".py", ".xml", ".yml", ".editorconfig", ".gitignore"];

    /// <summary>Each room of src/Directory.Build.targets with the rooms it may use.</summary>
    public static IReadOnlyDictionary<string, IReadOnlySet<string>> RoomTable { get; } =
        XDocument.Load(Checkout.PathOf("src/Directory.Build.targets")).Descendants("Room")
            .Where(room => room.Attribute("MayUse") is not null)
            .ToDictionary(room => room.Attribute("Include")!.Value, IReadOnlySet<string> (room) => room.Attribute("MayUse")!.Value.Split(';', StringSplitOptions.RemoveEmptyEntries).ToHashSet());

    /// <summary>The rooms that exist, by project name.</summary>
    public static IReadOnlyList<string> Rooms { get; } =
        [.. Directory.GetFiles(Checkout.PathOf("src"), "*.csproj", SearchOption.AllDirectories).Select(path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal)];

    /// <summary>A room's assembly, from the same build as this test.</summary>
    public static string AssemblyOf(string room)
    {
        var configuration = new DirectoryInfo(AppContext.BaseDirectory).Name;
        var name = XDocument.Load(Checkout.PathOf($"src/{room}/{room}.csproj")).Descendants("AssemblyName").FirstOrDefault()?.Value ?? room;
        return Checkout.PathOf($"artifacts/bin/{room}/{configuration}/{name}.dll");
    }

    /// <summary>The text files of the project below a folder, relative to the checkout.</summary>
    public static IEnumerable<string> TextFiles(string folder = "")
    {
        var pending = new Stack<string>([Checkout.PathOf(folder)]);
        while (pending.TryPop(out var current))
        {
            foreach (var sub in Directory.GetDirectories(current))
                if (!NotOurs.Contains(Path.GetFileName(sub)))
                    pending.Push(sub);
            // In a worktree .git is a file.
            foreach (var file in Directory.GetFiles(current))
                if (TextEndings.Contains(Path.GetExtension(file)) && Path.GetFileName(file) != ".git")
                    yield return Path.GetRelativePath(Checkout.Root, file);
        }
    }
}
