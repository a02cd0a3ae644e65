using System.Text.Json;
using System.Text.Json.Serialization;

namespace Forengate.Lab.Machine;

/// <summary>
/// A boot plan in a directory: <c>boot.json</c>, and a raw file for each memory segment under <c>memory/</c>, which QEMU loads as they are.
/// </summary>
public sealed record SavedPlan(string Directory, BootPlan Plan, IReadOnlyList<string> SegmentFiles)
{
    private const string PlanFile = "boot.json", SegmentDirectory = "memory";
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, Converters = { new JsonStringEnumConverter() } };

    private sealed record Segment(ulong Address, long Length, string File);

    private sealed record Saved(int Version, BootPlan Plan, IReadOnlyList<Segment> Segments);

    /// <summary>Writes a plan; a plan that was there before is replaced.</summary>
    public static SavedPlan Save(BootPlan plan, string directory)
    {
        ArgumentNullException.ThrowIfNull(plan);
        directory = Path.GetFullPath(directory);
        var memory = Path.Combine(directory, SegmentDirectory);
        if (System.IO.Directory.Exists(memory))
            System.IO.Directory.Delete(memory, recursive: true);
        System.IO.Directory.CreateDirectory(memory);
        var segments = plan.Segments.Select(s => new Segment(s.Address, s.Bytes.Length, $"{SegmentDirectory}/{s.Address:x10}.bin")).ToList();
        foreach (var (segment, saved) in plan.Segments.Zip(segments))
        {
            using var file = File.OpenHandle(Path.Combine(directory, saved.File), FileMode.CreateNew, FileAccess.Write);
            RandomAccess.Write(file, segment.Bytes.Span, 0);
        }
        var path = Path.Combine(directory, PlanFile);
        File.WriteAllText(path + ".new", JsonSerializer.Serialize(new Saved(1, plan with { Segments = [] }, segments), Json));
        File.Move(path + ".new", path, overwrite: true);
        return new SavedPlan(directory, plan, [.. segments.Select(s => Path.Combine(directory, s.File))]);
    }

    /// <summary>Reads a plan back, memory included.</summary>
    /// <exception cref="BootPlanException">There is none, or it is damaged.</exception>
    public static SavedPlan Load(string directory)
    {
        directory = Path.GetFullPath(directory);
        try
        {
            var saved = JsonSerializer.Deserialize<Saved>(File.ReadAllText(Path.Combine(directory, PlanFile)), Json);
            if (saved is not { Version: 1 })
                throw new BootPlanException($"{directory}: {PlanFile} is of another version");
            var files = saved.Segments.Select(s => Path.Combine(directory, s.File)).ToList();
            var segments = saved.Segments.Zip(files, (s, file) => new MemorySegment(s.Address, File.ReadAllBytes(file))).ToList();
            return new SavedPlan(directory, saved.Plan with { Segments = segments }, files);
        }
        catch (Exception e) when (e is IOException or JsonException or UnauthorizedAccessException)
        {
            throw new BootPlanException($"{directory}: no boot plan to be read here ({e.Message}); make one with 'twin make'");
        }
    }
}
