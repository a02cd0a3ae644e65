using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>Counts what becomes of pages while several threads write them.</summary>
internal sealed class PageTally
{
    private readonly Lock _lock = new();
    private readonly List<PhysicalRange> _missing = [];
    private ulong _done;
    private ulong _zero;
    private ulong _missingPages;

    /// <summary>Bytes dealt with.</summary>
    public ulong Done => Interlocked.Read(ref _done);

    public ulong ZeroPages => Interlocked.Read(ref _zero);

    public ulong MissingPages => Interlocked.Read(ref _missingPages);

    public void AddDone(ulong bytes) => Interlocked.Add(ref _done, bytes);

    public void AddZero(ulong pages) => Interlocked.Add(ref _zero, pages);

    public void AddMissing(PhysicalAddress start, ulong pages)
    {
        Interlocked.Add(ref _missingPages, pages);
        lock (_lock)
        {
            // Pages of one chunk come in order, so ranges grow; those of other threads lie elsewhere.
            var last = _missing.FindLastIndex(range => range.End == start);
            if (last >= 0)
                _missing[last] = _missing[last] with { Length = _missing[last].Length + (pages << Page.Shift) };
            else if (_missing.Count < DumpWriter.MissingRangesNamed)
                _missing.Add(new PhysicalRange(start, pages << Page.Shift));
        }
    }

    /// <summary>Sorted, merged where they touch.</summary>
    public IReadOnlyList<PhysicalRange> MissingRanges()
    {
        lock (_lock)
        {
            var merged = new List<PhysicalRange>();
            foreach (var range in _missing.OrderBy(range => range.Start))
            {
                if (merged.Count > 0 && merged[^1].End == range.Start)
                    merged[^1] = merged[^1] with { Length = merged[^1].Length + range.Length };
                else
                    merged.Add(range);
            }
            return merged;
        }
    }
}
