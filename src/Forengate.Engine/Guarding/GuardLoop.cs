using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>Hears alarms and has each guest's dumps made, one at a time a guest, so many at once as is allowed.</summary>
internal sealed class GuardLoop : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(200);

    private readonly GuardOptions _options;
    private readonly IAlarmSource _source;
    private readonly Func<GuestTarget, GuardEvent?> _readiness;
    private readonly GuardJournal _journal;
    private readonly GuardWork _work;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, GuardedGuest> _guests = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _slots;
    private readonly List<Task> _tasks = [];
    private int _remarksTold;
    private volatile bool _onceDone;

    /// <param name="options">What is wanted.</param>
    /// <param name="source">Who hears; not disposed.</param>
    /// <param name="work">What is done about it.</param>
    /// <param name="readiness">What will happen when this guest crashes; null where that can't be told.</param>
    /// <param name="journal">Told of everything.</param>
    public GuardLoop(GuardOptions options, IAlarmSource source, GuardWork work, Func<GuestTarget, GuardEvent?> readiness, GuardJournal journal)
    {
        (_options, _source, _work, _readiness, _journal) = (options, source, work, readiness, journal);
        _slots = new SemaphoreSlim(options.Parallel);
    }

    /// <summary>Guards until it is told to stop, or the source is over, or, with <see cref="GuardOptions.Once"/>, a dump was made, failed or was declined.</summary>
    /// <param name="stop">Nothing new is begun; what is under way is finished.</param>
    /// <param name="abort">What is under way is cancelled, too.</param>
    public GuardSummary Run(CancellationToken stop, CancellationToken abort)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop, abort);
        _journal.Write(GuardEventKind.Guarding, null, $"listening to {_source.Name}; dumps go to {_options.Folder}");
        foreach (var guest in _source.Guests)
            TellReadiness(guest);
        var lost = Listen(ending, abort);
        ending.Cancel();
        Task[] tasks;
        lock (_gate)
            tasks = [.. _tasks];
        Task.WaitAll(tasks, CancellationToken.None);
        TellRemarks();
        var summary = _journal.Summary with { IsLost = lost };
        _journal.Write(GuardEventKind.Ended, null, $"{summary.Dumped} dumped, {summary.Failed} failed, {summary.Declined} declined, {summary.Suppressed} suppressed");
        return summary;
    }

    /// <returns>True when the source is over.</returns>
    private bool Listen(CancellationTokenSource ending, CancellationToken abort)
    {
        try
        {
            while (!ending.IsCancellationRequested && !_onceDone)
            {
                var alarm = _source.Next(s_look, ending.Token);
                TellRemarks();
                if (alarm is not null)
                    Take(alarm, ending.Token, abort);
                else if (_source.IsOver)
                    return true;
            }
        }
        catch (OperationCanceledException)
        {
            // Told to stop.
        }
        return false;
    }

    private void Take(GuestAlarm alarm, CancellationToken stop, CancellationToken abort)
    {
        var trigger = GuardPolicy.TriggerOf(alarm.Kind);
        if (alarm.Target is not { } guest || trigger == GuardTriggers.None)
        {
            _journal.Write(GuardEventKind.Heard, alarm.Target?.ToString(), alarm.Text);
            if (alarm is { Kind: GuestAlarmKind.Started, Target: { } started })
                Begin(() => Safely(started, () => TellReadiness(started)));
            return;
        }
        var order = new DumpOrder(alarm, guest, GuardPolicy.WordOf(trigger));
        var hindrance = GuardPolicy.Hindrance(alarm);
        if (!_options.Triggers.HasFlag(trigger) || hindrance is not null)
        {
            var kind = hindrance is null || !_options.Triggers.HasFlag(trigger) ? GuardEventKind.Heard : GuardEventKind.Declined;
            _journal.Write(kind, guest.ToString(), hindrance is null ? alarm.Text : $"{alarm.Text}: {hindrance}", order.Why);
            if (alarm.Hold is { } hold)
                Begin(() => Safely(guest, () => _work.Act(order, [hold], coreFile: null, tell: true, abort)));
            return;
        }
        lock (_gate)
        {
            if (!_guests.TryGetValue(guest.ToString(), out var guarded))
                _guests.Add(guest.ToString(), guarded = new GuardedGuest());
            if (!guarded.Add(order))
                _journal.Write(GuardEventKind.Heard, guest.ToString(), $"{alarm.Text}: the dump that is being made stands for it too", order.Why);
            if (guarded.Begin())
                Begin(() => WorkFor(guarded, stop, abort));
        }
    }

    private void WorkFor(GuardedGuest guest, CancellationToken stop, CancellationToken abort)
    {
        while (Next(guest) is { } pending)
            Safely(pending.Order.Guest, () => WorkFor(guest, pending, stop, abort));
    }

    private void WorkFor(GuardedGuest guest, PendingDump pending, CancellationToken stop, CancellationToken abort)
    {
        if (!TryEnter(stop))
        {
            _journal.Write(GuardEventKind.Declined, pending.Order.Guest.ToString(), $"{pending.Order.Alarm.Text}: the guard ends", pending.Order.Why);
            _work.Act(pending.Order, LetGo(guest), coreFile: null, tell: true, abort);
            return;
        }
        GuardEvent dumped;
        try
        {
            dumped = _work.Dump(pending.Order, () => LetGo(guest), abort);
            _onceDone |= _options.Once && dumped.Kind != GuardEventKind.Suppressed;
        }
        finally
        {
            _slots.Release();
        }
        _work.Follow(dumped, abort);
    }

    /// <summary>A fault of ours with one guest is told, and the others are guarded on.</summary>
    private void Safely(GuestTarget guest, Action work)
    {
        try
        {
            work();
        }
#pragma warning disable CA1031 // The last line of defence of a program that has to stay.
        catch (Exception e)
#pragma warning restore CA1031
        {
            _journal.Write(GuardEventKind.Failed, guest.ToString(), $"internal error: {e.GetType()}: {e.Message}");
        }
    }

    private bool TryEnter(CancellationToken stop)
    {
        try
        {
            _slots.Wait(stop);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private PendingDump? Next(GuardedGuest guest)
    {
        lock (_gate)
            return guest.Next();
    }

    private IReadOnlyList<CrashHold> LetGo(GuardedGuest guest)
    {
        lock (_gate)
            return [.. guest.LetGo()];
    }

    /// <summary>A thread of its own: dumps block for long, and the thread pool has other things to do.</summary>
    private void Begin(Action work)
    {
        lock (_gate)
        {
            _tasks.RemoveAll(task => task.IsCompleted);
            _tasks.Add(Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        }
    }

    private void TellReadiness(GuestTarget guest)
    {
        if (_readiness(guest) is { } line)
            _journal.Write(line);
    }

    /// <summary>What the source can't do belongs on the record as soon as it is known.</summary>
    private void TellRemarks()
    {
        var remarks = _source.Remarks;
        for (; _remarksTold < remarks.Count; _remarksTold++)
            _journal.Write(GuardEventKind.Heard, null, remarks[_remarksTold]);
    }

    public void Dispose() => _slots.Dispose();
}
