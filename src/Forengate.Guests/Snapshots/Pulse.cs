namespace Forengate.Guests;

/// <summary>Does something again and again on a thread of its own, until it is disposed; afterwards it is done no more.</summary>
internal sealed class Pulse : IDisposable
{
    private readonly Timer _timer;

    public Pulse(Action beat, int milliseconds) => _timer = new Timer(_ => beat(), null, milliseconds, milliseconds);

    /// <summary>A timer that is merely disposed may beat once more, when what it speaks to is gone already.</summary>
    public void Dispose()
    {
        using var over = new ManualResetEvent(false);
        if (_timer.Dispose(over))
            over.WaitOne();
    }
}
