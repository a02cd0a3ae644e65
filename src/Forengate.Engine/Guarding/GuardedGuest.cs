using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>A dump that is wanted, with every hold on the guest that waits for it.</summary>
internal sealed class PendingDump(DumpOrder order)
{
    public DumpOrder Order { get; } = order;

    public List<CrashHold> Holds { get; } = order.Alarm.Hold is { } hold ? [hold] : [];
}

/// <summary>What is to be done for one guest: one dump at a time, and one dump for what is told of in several ways.</summary>
/// <remarks>Not safe for several threads: whoever uses it holds a lock.</remarks>
internal sealed class GuardedGuest
{
    private readonly Queue<PendingDump> _waiting = new();
    private PendingDump? _underWay;

    /// <summary>True while somebody works for this guest.</summary>
    public bool IsBusy { get; private set; }

    /// <summary>Takes a wanted dump in. True when it is one of its own, false when one that waits or is being written stands for it.</summary>
    public bool Add(DumpOrder order)
    {
        var same = _underWay is not null && Covers(_underWay, order) ? _underWay : _waiting.FirstOrDefault(waiting => Covers(waiting, order));
        if (same is not null)
        {
            if (order.Alarm.Hold is { } hold)
                same.Holds.Add(hold);
            return false;
        }
        _waiting.Enqueue(new PendingDump(order));
        return true;
    }

    /// <summary>True for the one that has to work from now on; false where somebody does already.</summary>
    public bool Begin()
    {
        if (IsBusy)
            return false;
        return IsBusy = true;
    }

    /// <summary>The next dump to make; null ends the work.</summary>
    public PendingDump? Next()
    {
        _underWay = _waiting.TryDequeue(out var next) ? next : null;
        IsBusy = _underWay is not null;
        return _underWay;
    }

    /// <summary>The guest's memory has been taken, and its holds are about to be let go: what is told from now on is another crash.</summary>
    public IReadOnlyList<CrashHold> LetGo()
    {
        var holds = _underWay?.Holds ?? [];
        _underWay = null;
        return holds;
    }

    /// <summary>A crash may be told of by a panic device and by Hyper-V's registers, and a hang by watchdog and agent; a crash after a hang is worth its own dump.</summary>
    private static bool Covers(PendingDump earlier, DumpOrder later) => IsCrash(earlier.Order) || !IsCrash(later);

    private static bool IsCrash(DumpOrder order) => order.Alarm.Kind is GuestAlarmKind.Panicked or GuestAlarmKind.CrashLoaded;
}
