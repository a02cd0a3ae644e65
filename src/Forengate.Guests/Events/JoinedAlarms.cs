namespace Forengate.Guests;

/// <summary>Several sources as one: a thread for each hands its alarms on.</summary>
internal sealed class JoinedAlarms : IAlarmSource
{
    private readonly IReadOnlyList<IAlarmSource> _sources;
    private readonly AlarmQueue _queue = new();
    private readonly CancellationTokenSource _ended = new();
    private readonly List<Thread> _threads = [];
    private int _alive;
    private bool _disposed;

    public JoinedAlarms(IReadOnlyList<IAlarmSource> sources)
    {
        _sources = sources;
        _alive = sources.Count;
        if (_alive == 0)
            _queue.End();
        foreach (var source in sources)
        {
            var thread = new Thread(() => HandOn(source)) { IsBackground = true, Name = "alarms" };
            _threads.Add(thread);
            thread.Start();
        }
    }

    public string Name => string.Join(", ", _sources.Select(s => s.Name));

    public IReadOnlyList<GuestTarget> Guests => [.. _sources.SelectMany(s => s.Guests)];

    public IReadOnlyList<string> Remarks => [.. _sources.SelectMany(s => s.Remarks), .. _queue.Remarks];

    public bool IsOver => _queue.IsOver;

    private void HandOn(IAlarmSource source)
    {
        try
        {
            while (!_ended.IsCancellationRequested)
            {
                if (source.Next(Timeout.InfiniteTimeSpan, _ended.Token) is { } alarm)
                    _queue.Add(alarm);
                else if (source.IsOver)
                    break;
            }
        }
        catch (OperationCanceledException)
        {
            // We are being disposed.
        }
        if (Interlocked.Decrement(ref _alive) == 0)
            _queue.End();
    }

    public GuestAlarm? Next(TimeSpan patience, CancellationToken ct) => _queue.Next(patience, ct);

    public IDisposable Lend(GuestTarget target, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(target);
        // Each source knows its own guests, and lends nothing for others.
        var loans = new List<IDisposable>();
        try
        {
            foreach (var source in _sources)
                loans.Add(source.Lend(target, ct));
            return new Loan(() => loans.ForEach(l => l.Dispose()));
        }
        catch
        {
            loans.ForEach(l => l.Dispose());
            throw;
        }
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _ended.Cancel();
        foreach (var thread in _threads)
            thread.Join();
        foreach (var source in _sources)
            source.Dispose();
        _ended.Dispose();
    }
}
