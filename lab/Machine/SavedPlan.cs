namespace Forengate.Lab.Machine;

/// <summary>A boot plan in a directory: <c>plan.json</c>, and beside it a raw file for each memory segment, which QEMU loads as they are.</summary>
/// <param name="Directory">Full path.</param>
/// <param name="Plan">The plan, memory included.</param>
/// <param name="SegmentFiles">Full paths, in the order of the plan's segments.</param>
public sealed record SavedPlan(string Directory, BootPlan Plan, IReadOnlyList<string> SegmentFiles)
{
    private const string PlanFile = "plan.json";

    /// <summary>Writes a plan; a plan that was there before is replaced.</summary>
    public static SavedPlan Save(BootPlan plan, string directory)
    {
        ArgumentNullException.ThrowIfNull(plan);
        directory = Path.GetFullPath(directory);
        System.IO.Directory.CreateDirectory(directory);
        foreach (var old in System.IO.Directory.EnumerateFiles(directory, "segment-*.bin"))
            File.Delete(old);
        var files = plan.Segments.Select(s => Path.Combine(directory, PlanJson.FileOf(s))).ToList();
        foreach (var (segment, path) in plan.Segments.Zip(files))
        {
            using var file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write);
            RandomAccess.Write(file, segment.Bytes.Span, 0);
        }
        using var json = File.Create(Path.Combine(directory, PlanFile));
        PlanJson.Write(json, plan);
        return new SavedPlan(directory, plan, files);
    }

    /// <summary>Reads a plan back, memory included.</summary>
    /// <exception cref="BootPlanException">There is none, or it is damaged.</exception>
    public static SavedPlan Load(string directory)
    {
        directory = Path.GetFullPath(directory);
        try
        {
            var (plan, names) = PlanReader.Read(File.ReadAllBytes(Path.Combine(directory, PlanFile)));
            var files = names.Select(n => Path.Combine(directory, n)).ToList();
            var segments = plan.Segments.Zip(files, (s, file) => new MemorySegment(s.Address, File.ReadAllBytes(file))).ToList();
            return new SavedPlan(directory, plan with { Segments = segments }, files);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or BootPlanException)
        {
            throw new BootPlanException($"{directory}: no boot plan to be read here ({e.Message}); make one with 'twin make'");
        }
    }
}
