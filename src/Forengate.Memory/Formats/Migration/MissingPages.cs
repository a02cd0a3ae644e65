namespace Forengate.Memory;

/// <summary>Says which of a machine's RAM a stream does not have.</summary>
internal static class MissingPages
{
    private const int MostShown = 8;

    /// <summary>Adds a line to the stream's damage, or to its remarks when nothing is wrong with it: a guest's free pages need not be sent.</summary>
    public static void Report(MigrationStream stream, PhysicalMemory memory)
    {
        var (missing, excluded) = (0UL, 0UL);
        var shown = new List<PhysicalRange>();
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End;)
            {
                var run = memory.RunAt(at, range.End - at);
                at = run.Range.End;
                if (run.State == PageState.Excluded)
                    excluded += run.Range.Length;
                if (run.State != PageState.Missing)
                    continue;
                missing += run.Range.Length;
                if (shown.Count != 0 && shown[^1].End == run.Range.Start)
                    shown[^1] = new PhysicalRange(shown[^1].Start, shown[^1].Length + run.Range.Length);
                else if (shown.Count < MostShown)
                    shown.Add(run.Range);
            }
        }
        if (excluded != 0)
            stream.Remarks.Add($"0x{excluded:x} bytes of RAM are shared memory that the stream leaves out (x-ignore-shared): take the backend's file as a raw image");
        if (missing == 0)
            return;
        var line = $"0x{missing:x} of 0x{memory.Size:x} bytes of RAM are not in the stream: {string.Join(", ", shown)}{(shown.Count == MostShown ? ", …" : "")}";
        if (stream.RamEnded)
            stream.Remarks.Add($"{line}; the guest had said that it does not use them (free page hinting)");
        else
            stream.Damage.Add(line);
    }
}
