using System.Diagnostics;

namespace Forengate.Guests;

/// <summary>Alarms that wait to be fetched, and remarks that were made beside them. Bounded, and safe from several threads.</summary>
internal sealed class AlarmQueue
{
    private const int MostAlarms = 4096;
    private const int MostRemarks = 1000;

    // Waited on as well as locked: a Lock can't be.
    private readonly object _lock = new();
    private readonly LinkedList<GuestAlarm> _alarms = [];
    private readonly List<string> _remarks = [];
    private int _dropped;
    private bool _over;

    public bool IsOver
    {
        get
        {
            lock (_lock)
                return _over;
        }
    }

    public IReadOnlyList<string> Remarks
    {
        get
        {
            lock (_lock)
                return [.. _remarks];
        }
    }

    /// <summary>Notes a fact, once.</summary>
    public void Remark(string text)
    {
        lock (_lock)
        {
            if (_remarks.Count < MostRemarks && !_remarks.Contains(text))
                _remarks.Add(text);
        }
    }

    public void Add(GuestAlarm alarm)
    {
        lock (_lock)
        {
            if (_over)
                return;
            _alarms.AddLast(alarm);
            if (_alarms.Count > MostAlarms)
            {
                // A guest that waits for us is never forgotten; one that merely started may be.
                var oldest = _alarms.First;
                while (oldest?.Value.Hold is not null)
                    oldest = oldest.Next;
                if (oldest is not null)
                {
                    _alarms.Remove(oldest);
                    if (_dropped++ == 0)
                        _remarks.Add($"alarms came faster than they were fetched: beyond {MostAlarms} the oldest were dropped");
                }
            }
            Monitor.Pulse(_lock);
        }
    }

    /// <summary>Nothing more will come; who waits is woken.</summary>
    public void End()
    {
        lock (_lock)
        {
            _over = true;
            Monitor.PulseAll(_lock);
        }
    }

    public GuestAlarm? Next(TimeSpan patience, CancellationToken ct)
    {
        var began = Stopwatch.GetTimestamp();
        using var cancelled = ct.Register(Wake);
        lock (_lock)
        {
            while (_alarms.Count == 0)
            {
                ct.ThrowIfCancellationRequested();
                if (_over)
                    return null;
                if (patience == Timeout.InfiniteTimeSpan)
                {
                    Monitor.Wait(_lock);
                    continue;
                }
                var left = patience - Stopwatch.GetElapsedTime(began);
                if (left <= TimeSpan.Zero)
                    return null;
                Monitor.Wait(_lock, left);
            }
            ct.ThrowIfCancellationRequested();
            var first = _alarms.First!.Value;
            _alarms.RemoveFirst();
            return first;
        }
    }

    private void Wake()
    {
        lock (_lock)
            Monitor.PulseAll(_lock);
    }
}
