namespace Forengate.Memory;

/// <summary>Counts what becomes of pages while several threads write them.</summary>
internal sealed class OutputTally
{
    /// <summary>Ranges of missing memory that are named; those behind them are in the figures only.</summary>
    public const int RangesNamed = 4096;

    private readonly Lock _lock = new();
    private readonly List<PhysicalRange> _missing = [];
    private ulong _done;
    private ulong _zeroPages;

    /// <summary>Bytes of memory dealt with.</summary>
    public ulong Done => Interlocked.Read(ref _done);

    public ulong ZeroPages => Interlocked.Read(ref _zeroPages);

    public void Add(ulong bytes, ulong zeroPages)
    {
        Interlocked.Add(ref _done, bytes);
        Interlocked.Add(ref _zeroPages, zeroPages);
    }

    public void AddMissing(PhysicalRange range)
    {
        lock (_lock)
        {
            var last = _missing.FindLastIndex(known => known.End == range.Start);
            if (last >= 0)
                _missing[last] = _missing[last] with { Length = _missing[last].Length + range.Length };
            else if (_missing.Count < RangesNamed)
                _missing.Add(range);
        }
    }

    /// <summary>Sorted, merged where they touch.</summary>
    public IReadOnlyList<PhysicalRange> Missing()
    {
        lock (_lock)
        {
            var merged = new List<PhysicalRange>();
            foreach (var range in _missing.OrderBy(range => range.Start))
            {
                if (merged.Count != 0 && merged[^1].End == range.Start)
                    merged[^1] = merged[^1] with { Length = merged[^1].Length + range.Length };
                else
                    merged.Add(range);
            }
            return merged;
        }
    }
}
