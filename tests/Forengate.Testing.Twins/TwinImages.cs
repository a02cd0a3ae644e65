using System.Collections.Concurrent;
using Forengate.Lab;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Testing.Twins;

/// <summary>Images of twins, built once for each set of options while the test program runs.</summary>
public static class TwinImages
{
    private static readonly ConcurrentDictionary<string, Lazy<string>> Built = new();

    /// <summary>The folder of an image.</summary>
    /// <param name="options">As <c>twin make</c> takes them, name and value: <c>"--build", "19041", "--cpus", "8"</c>; <c>--raw</c> and <c>--note</c> stand alone.</param>
    public static string Get(params IReadOnlyList<string> options) =>
        Built.GetOrAdd(string.Join(' ', options), _ => new Lazy<string>(() => Make(options))).Value;

    private static string Make(IReadOnlyList<string> options)
    {
        var folder = TwinFolders.New();
        var raw = options.Contains("--raw");
        var named = options.Where(option => option is not ("--raw" or "--note")).ToArray();
        var twin = named.Chunk(2).Aggregate(new TwinOptions { Note = options.Contains("--note") }, (made, option) => MakeVerb.With(made, option[0], option[1]));
        MakeVerb.Write(ImageBuilder.Build(twin, KernelCatalog.Load(twin.Build), GuestCode.Assemble), folder, raw);
        return folder;
    }
}
