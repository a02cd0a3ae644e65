namespace Forengate.Engine;

/// <summary>Takes the lines of a guard's journal from all its threads, one at a time, and counts them.</summary>
internal sealed class GuardJournal(Action<GuardEvent> write, TimeProvider clock)
{
    private readonly Lock _lock = new();
    private int _dumped, _incomplete, _failed, _declined;
    private long _suppressed;

    public DateTimeOffset Now => clock.GetUtcNow();

    public GuardSummary Summary
    {
        get
        {
            lock (_lock)
                return new GuardSummary(_dumped, _incomplete, _failed, _declined, _suppressed);
        }
    }

    public void Write(GuardEvent line)
    {
        lock (_lock)
        {
            switch (line.Kind)
            {
                case GuardEventKind.Dumped:
                    _dumped++;
                    _incomplete += line.Complete == false ? 1 : 0;
                    break;
                case GuardEventKind.Failed:
                    _failed++;
                    break;
                case GuardEventKind.Declined:
                    _declined++;
                    break;
                case GuardEventKind.Suppressed:
                    _suppressed++;
                    break;
            }
            write(line);
        }
    }

    public void Write(GuardEventKind kind, string? guest, string text, string? why = null) =>
        Write(new GuardEvent { Kind = kind, At = Now, Guest = guest, Why = why, Text = text });
}
