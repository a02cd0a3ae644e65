namespace Forengate.Memory;

/// <summary>Guest-physical memory of a complete dump, read in place.</summary>
internal sealed class CrashDumpMemory : PhysicalMemory
{
    /// <summary>Pieces of the file that hold memory, ascending by address, disjoint.</summary>
    private readonly (ulong Start, ulong Length, ulong FileOffset)[] _pieces;
    private readonly CrashDumpMapping _file;

    /// <param name="file">Owned.</param>
    /// <param name="runs">The runs laid over it.</param>
    public CrashDumpMemory(CrashDumpMapping file, CrashDumpRunTable runs)
    {
        _file = file;
        var usable = runs.Runs.Where(run => run.Usable).OrderBy(run => run.Run.BasePage).ToList();
        _pieces = [.. usable.Where(run => run.PagesInFile > 0).Select(run => (run.Run.BasePage << Page.Shift, run.PagesInFile << Page.Shift, run.FileOffset))];
        var ranges = new List<PhysicalRange>();
        foreach (var range in usable.Select(run => run.Run.Range))
        {
            if (ranges.Count > 0 && ranges[^1].End == range.Start)
                ranges[^1] = ranges[^1] with { Length = ranges[^1].Length + range.Length };
            else
                ranges.Add(range);
        }
        Ranges = ranges;
    }

    public override IReadOnlyList<PhysicalRange> Ranges { get; }

    public override PageState StateOf(PhysicalAddress address) => At(address, 1).IsEmpty ? PageState.Missing : PageState.Present;

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) => At(address, maxLength);

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var bytes = At(address + (ulong)done, destination.Length - done);
            if (bytes.IsEmpty)
                break;
            bytes.CopyTo(destination[done..]);
            done += bytes.Length;
        }
        return done;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _file.Dispose();
        base.Dispose(disposing);
    }

    private ReadOnlySpan<byte> At(PhysicalAddress address, int maxLength)
    {
        var (low, high) = (0, _pieces.Length);
        while (low < high)
        {
            var middle = (low + high) >> 1;
            if (_pieces[middle].Start <= address.Value)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == 0 || maxLength <= 0)
            return default;
        var (start, length, offset) = _pieces[low - 1];
        var distance = address.Value - start;
        return distance >= length ? default : _file.Slice(offset + distance, (int)Math.Min((ulong)maxLength, length - distance));
    }
}
