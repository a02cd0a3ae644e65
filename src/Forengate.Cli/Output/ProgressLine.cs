using System.Diagnostics;
using Forengate.Engine;

namespace Forengate.Cli.Output;

/// <summary>One line on a terminal's stderr that is rewritten in place; silent where stderr is no terminal. Safe to report to from any thread.</summary>
internal sealed class ProgressLine : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);

    private readonly bool _enabled = !Console.IsErrorRedirected;
    private readonly Lock _lock = new();
    private string? _what;
    private long _started;
    private long _shownAt;
    private int _width;

    /// <summary>Shows how far a job is: "copying memory  1.2 of 4.0 GiB  30%  2.1 GiB/s  1 s left".</summary>
    public void Report(string what, ulong done, ulong total)
    {
        if (!_enabled || total == 0)
            return;
        lock (_lock)
        {
            // What ends within a blink needs no progress.
            if (_what != what)
            {
                _what = what;
                _started = Stopwatch.GetTimestamp();
            }
            var elapsed = Stopwatch.GetElapsedTime(_started);
            if (elapsed < Interval * 3 || Stopwatch.GetElapsedTime(_shownAt) < Interval)
                return;
            _shownAt = Stopwatch.GetTimestamp();
            var rate = done / elapsed.TotalSeconds;
            var left = rate > 0 ? TimeSpan.FromSeconds((total - Math.Min(done, total)) / rate) : (TimeSpan?)null;
            Show($"{what}  {Sizes.Of(done)} of {Sizes.Of(total)}  {100.0 * done / total:0}%  {Sizes.Of((ulong)rate)}/s"
                + (left is { } time ? $"  {Sizes.Of(time)} left" : ""));
        }
    }

    public IProgress<JobProgress> AsProgress() => new Sink(this);

    public void Clear()
    {
        lock (_lock)
        {
            if (_width > 0)
                Show("");
            _width = 0;
        }
    }

    public void Dispose() => Clear();

    private void Show(string text)
    {
        Console.Error.Write($"\r{text.PadRight(_width)}\r{text}");
        _width = text.Length;
    }

    /// <summary>Reports on the thread that does the work; <see cref="Progress{T}"/> would post to another and come late.</summary>
    private sealed class Sink(ProgressLine line) : IProgress<JobProgress>
    {
        public void Report(JobProgress value) => line.Report(value.What, value.Done, value.Total);
    }
}
