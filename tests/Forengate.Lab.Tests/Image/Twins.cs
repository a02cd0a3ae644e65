using System.Text.Json;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;
using Forengate.Lab.Truth;

namespace Forengate.Lab.Tests.Image;

/// <summary>Images for tests, from the carried tables.</summary>
internal static class Twins
{
    public static TheoryData<string> Families => [.. KernelCatalog.Carried.Keys];

    public static TwinOptions Small(string build) => new() { Build = build, MemorySize = 128 * TwinOptions.MiB, Processes = 24, Drivers = 25, ExitedProcesses = 4, HiddenProcesses = 2 };

    public static (TwinImage Image, TruthDocument Truth) Make(TwinOptions options)
    {
        var image = ImageBuilder.Build(options, KernelCatalog.Load(options.Build), GuestCode.Assemble);
        // Through its text and back: what a reader of truth.json sees.
        var json = JsonSerializer.Serialize(TruthBuilder.Build(image), TruthJson.Readable.TruthDocument);
        return (image, JsonSerializer.Deserialize(json, TruthJson.Readable.TruthDocument)!);
    }

    public static TruthGlobal Global(this TruthDocument truth, string name) => truth.Globals.Single(g => g.Name == name);
}
