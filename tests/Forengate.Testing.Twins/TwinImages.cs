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
    /// <param name="options">As <c>twin make</c> takes them, name and value: <c>"--build", "19041", "--cpus", "8"</c>; <c>--raw</c>, <c>--note</c> and <c>--hide-build</c> stand alone.</param>
    public static string Get(params IReadOnlyList<string> options) =>
        Built.GetOrAdd(string.Join(' ', options), _ => new Lazy<string>(() => Make(options))).Value;

    private static string Make(IReadOnlyList<string> options)
    {
        var folder = TwinFolders.New();
        var (twin, raw) = (new TwinOptions(), false);
        for (var i = 0; i < options.Count; i++)
        {
            if (options[i] == "--raw")
                raw = true;
            else if (!MakeVerb.TryFlag(ref twin, options[i]))
                twin = MakeVerb.With(twin, options[i], options[++i]);
        }
        MakeVerb.Write(ImageBuilder.Build(twin, KernelCatalog.Load(twin.Build), GuestCode.Assemble), folder, raw);
        return folder;
    }
}
