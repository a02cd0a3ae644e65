namespace Forengate.Engine;

/// <summary>Keeps a guest that crashes over and over from filling the disk: at most so many dumps of a guest in any stretch of time.</summary>
/// <remarks>Not safe for several threads.</remarks>
/// <param name="rate">null: no limit.</param>
/// <param name="clock">Its monotonic time is used: a clock that is set does not matter.</param>
internal sealed class RateLimiter(DumpRate? rate, TimeProvider clock)
{
    private readonly Dictionary<string, History> _guests = new(StringComparer.Ordinal);

    /// <summary>True when a dump of the guest may be made now, which then counts; false when it is one too many, which is counted too.</summary>
    public bool TryTake(string guest)
    {
        if (!_guests.TryGetValue(guest, out var history))
            _guests.Add(guest, history = new History());
        if (rate is null)
            return true;
        while (history.Dumps.TryPeek(out var oldest) && clock.GetElapsedTime(oldest) >= rate.Window)
            history.Dumps.Dequeue();
        if (history.Dumps.Count >= rate.Count)
        {
            history.Suppressed++;
            return false;
        }
        history.Dumps.Enqueue(clock.GetTimestamp());
        return true;
    }

    /// <summary>How many were refused since the guest's last dump.</summary>
    public long SuppressedOf(string guest) => _guests.TryGetValue(guest, out var history) ? history.Suppressed : 0;

    /// <summary>As <see cref="SuppressedOf"/>, and begins to count anew: it has been told.</summary>
    public long TakeSuppressed(string guest)
    {
        if (!_guests.TryGetValue(guest, out var history))
            return 0;
        var count = history.Suppressed;
        history.Suppressed = 0;
        return count;
    }

    private sealed class History
    {
        public Queue<long> Dumps { get; } = new();

        public long Suppressed { get; set; }
    }
}
