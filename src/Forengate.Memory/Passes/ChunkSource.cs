namespace Forengate.Memory;

/// <summary>Hands out the memory that a pass has to look at, part by part, to any number of threads.</summary>
internal sealed class ChunkSource
{
    private const ulong ChunkSize = 2 << 20;

    /// <summary>How far a run is followed at a time: sources that know their pages one by one should not walk a whole machine under the lock.</summary>
    private const ulong RunLimit = 256UL << 20;

    private const ulong ProgressStep = 64 << 20;

    private readonly Lock _lock = new();
    private readonly PhysicalMemory _memory;
    private readonly IReadOnlyList<PhysicalRange> _ranges;
    private readonly IProgress<MemoryPassProgress>? _progress;
    private readonly ulong _total;
    private int _range;
    private ulong _next;
    private PageRun _run;
    private ulong _before;
    private ulong _reported;

    public ChunkSource(PhysicalMemory memory, IProgress<MemoryPassProgress>? progress)
    {
        _memory = memory;
        _ranges = memory.Ranges;
        _progress = progress;
        _total = memory.Size;
        if (_ranges.Count != 0)
            _next = _ranges[0].Start.Value;
    }

    /// <summary>The next part; false when all were handed out.</summary>
    public bool TryTake(out Chunk chunk)
    {
        MemoryPassProgress? report = null;
        bool any;
        lock (_lock)
        {
            any = Take(out chunk);
            if (any && _progress is not null)
            {
                var done = _before + (_next - _ranges[_range].Start.Value);
                if (done - _reported >= ProgressStep)
                {
                    _reported = done;
                    report = new MemoryPassProgress(done, _total);
                }
            }
        }
        if (report is { } progress)
            _progress?.Report(progress);
        return any;
    }

    public void ReportEnd() => _progress?.Report(new MemoryPassProgress(_total, _total));

    private bool Take(out Chunk chunk)
    {
        while (_range < _ranges.Count)
        {
            var range = _ranges[_range];
            if (_next >= range.End.Value)
            {
                _before += range.Length;
                _range++;
                if (_range < _ranges.Count)
                    _next = _ranges[_range].Start.Value;
                continue;
            }
            if (_run.Range.Length == 0 || !_run.Range.Contains(new PhysicalAddress(_next)))
                _run = _memory.RunAt(new PhysicalAddress(_next), Math.Min(range.End.Value - _next, RunLimit));
            var runEnd = Math.Min(_run.Range.End.Value, range.End.Value);
            if (_run.State == PageState.Present)
            {
                var end = Math.Min(runEnd, (_next + ChunkSize) & ~(ChunkSize - 1));
                chunk = new Chunk(new PhysicalAddress(_next), new PhysicalAddress(end), IsZero: false);
                _next = end;
                return true;
            }
            chunk = new Chunk(new PhysicalAddress(_next), new PhysicalAddress(runEnd), IsZero: true);
            _next = runEnd;
            if (_run.State == PageState.Zero)
                return true;
        }
        chunk = default;
        return false;
    }

    /// <summary>A part of memory of one state. In a zero part only patterns that reach over its end can be.</summary>
    internal readonly record struct Chunk(PhysicalAddress Start, PhysicalAddress End, bool IsZero);
}
