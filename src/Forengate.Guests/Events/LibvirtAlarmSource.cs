using System.Collections.Concurrent;
using System.Diagnostics;

namespace Forengate.Guests;

/// <summary>
/// Listens to libvirt (docs/guard-events.md). One thread keeps the books and never waits for libvirt while it is connected; whatever may block (looking at a domain, asking its agent) is done on a
/// thread for each, at most one a domain, and comes back as one more thing to do.
/// </summary>
internal sealed class LibvirtAlarmSource : IAlarmSource
{
    private static readonly TimeSpan s_firstRetry = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan s_longestRetry = TimeSpan.FromSeconds(5);
    /// <summary>How long opening waits for guests to come under guard; one whose domain is busy comes later.</summary>
    private static readonly TimeSpan s_firstLooks = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_longestIdle = TimeSpan.FromSeconds(30);
    /// <summary>How often other guards that hold our guests are looked after: when one has ended, in order or not, its guests are ours to hold.</summary>
    private static readonly TimeSpan s_ownerInterval = TimeSpan.FromSeconds(2);

    private readonly string _uri;
    private readonly HashSet<string> _wanted;
    private readonly AlarmOptions _options;
    private readonly AlarmQueue _queue = new();
    private readonly CancellationTokenSource _ended = new();
    private readonly BlockingCollection<Action> _todo = [];
    private readonly Dictionary<Guid, GuardedDomain> _domains = [];
    private readonly Thread _thread;
    private readonly HoldLease _lease;
    private volatile IReadOnlyList<GuestTarget> _guests = [];
    private LibvirtConnection? _connection;
    private LibvirtSubscription? _subscription;
    private bool _disposed;

    private LibvirtAlarmSource(string uri, IReadOnlyList<string> guests, AlarmOptions options)
    {
        _uri = uri;
        _wanted = new HashSet<string>(guests, StringComparer.Ordinal);
        _options = options;
        _lease = new HoldLease(options.Watchdog, uri, _queue.Remark);
        _thread = new Thread(Work) { IsBackground = true, Name = "libvirt-alarms" };
    }

    public string Name => _wanted.Count == 0 ? $"all guests at {_uri}" : $"{string.Join(", ", _wanted)} at {_uri}";

    public IReadOnlyList<GuestTarget> Guests => _guests;

    public IReadOnlyList<string> Remarks => _queue.Remarks;

    public bool IsOver => _queue.IsOver;

    public static LibvirtAlarmSource Open(string uri, IReadOnlyList<string> guests, AlarmOptions options, CancellationToken ct)
    {
        LibvirtEventLoop.Start();
        var source = new LibvirtAlarmSource(uri, guests, options);
        try
        {
            var looks = source.Connect(ct);
            source._thread.Start();
            Task.WaitAll([.. looks], (int)s_firstLooks.TotalMilliseconds, ct);
            // What came of them is in the books when those before it are.
            using var entered = new ManualResetEventSlim();
            source.Post(entered.Set);
            entered.Wait(s_firstLooks, ct);
            return source;
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    public GuestAlarm? Next(TimeSpan patience, CancellationToken ct) => _queue.Next(patience, ct);

    public IDisposable Lend(GuestTarget target, CancellationToken ct) => Loan.Nothing;

    /// <summary>Opens a connection, listens, and takes stock: in that order, so that no start falls between.</summary>
    private List<Task> Connect(CancellationToken ct)
    {
        var connection = LibvirtConnection.Open(_uri, readOnly: false, ct);
        try
        {
            if (connection.Driver() is var driver && driver != "QEMU")
                throw new GuestException(GuestFailure.NotQemu, $"{_uri} is libvirt's {driver} driver; only QEMU guests can be guarded");
            _subscription = LibvirtCall.Run("listening", () => LibvirtSubscription.Make(connection, e => Post(() => Hear(connection, e))), ct);
            _connection = connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
        if (_subscription.WithoutMonitorEvents is { } reason)
            _queue.Remark($"{_uri}: stop codes can't be heard ({reason}); a crash is heard without them");
        if (_options.HoldCrashes)
            _lease.Hold(new HeldSetting.OfLibvirt(_uri));
        var looks = new List<Task>();
        var missing = new HashSet<string>(_wanted, StringComparer.Ordinal);
        var before = new HashSet<Guid>(_domains.Keys);
        foreach (var guest in connection.List(ct))
        {
            if (!IsWanted(guest.Uuid, guest.Name))
                continue;
            missing.Remove(guest.Name);
            missing.Remove(guest.Uuid.ToString());
            if (guest.Id is null)
                continue;
            if (before.Remove(guest.Uuid) && _domains[guest.Uuid].Id == guest.Id)
                looks.Add(Look(_domains[guest.Uuid]));
            else
                looks.Add(Enter(guest.Uuid, guest.Name, guest.Id));
        }
        foreach (var gone in before)
        {
            // The list first: who hears of the end asks it.
            var domain = _domains[gone];
            Leave(gone);
            Tell(domain, GuestAlarmKind.Gone, null, "the guest ended while libvirt could not be reached", GuestStanding.Ends);
        }
        foreach (var name in missing)
            _queue.Remark($"libvirt:{name}: there is no such guest at {_uri} yet; it is guarded as soon as it starts");
        return looks;
    }

    private bool IsWanted(Guid uuid, string name) => _wanted.Count == 0 || _wanted.Contains(name) || _wanted.Contains(uuid.ToString());

    private void Post(Action what)
    {
        try
        {
            _todo.Add(what);
        }
        catch (Exception e) when (e is InvalidOperationException or ObjectDisposedException)
        {
            // We are being disposed.
        }
    }

    private void Work()
    {
        try
        {
            while (!_ended.IsCancellationRequested)
            {
                if (_connection is null && !Reconnect())
                    return;
                if (_todo.TryTake(out var what, Idle(), _ended.Token))
                    what();
                AskAgents();
                TakeOver();
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed.
        }
        finally
        {
            _queue.End();
        }
    }

    private int Idle()
    {
        var longest = _domains.Values.Any(domain => domain.HeldBy is not null || domain.LookAgainAt is not null) ? s_ownerInterval : s_longestIdle;
        if (_options.AgentInterval is null)
            return (int)longest.TotalMilliseconds;
        var next = Environment.TickCount64 + (long)longest.TotalMilliseconds;
        foreach (var domain in _domains.Values)
        {
            if (!domain.IsBeingAsked && domain.Setting is { HasAgent: true })
                next = Math.Min(next, domain.AskAt);
        }
        return (int)Math.Max(0, next - Environment.TickCount64);
    }

    private bool Reconnect()
    {
        var began = Stopwatch.GetTimestamp();
        for (var pause = s_firstRetry; ; pause = TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, s_longestRetry.Ticks)))
        {
            if (_ended.Token.WaitHandle.WaitOne(pause))
                throw new OperationCanceledException();
            try
            {
                Connect(_ended.Token);
                Tell(null, GuestAlarmKind.Reachable, null, $"libvirt at {_uri} answers again", GuestStanding.Unknown);
                return true;
            }
            catch (GuestException e)
            {
                Disconnect();
                if (_options.ReconnectFor is { } limit && Stopwatch.GetElapsedTime(began) >= limit)
                {
                    _queue.Remark($"{_uri}: given up after {limit.TotalSeconds:0.#} s: {e.Message}");
                    return false;
                }
            }
        }
    }

    /// <summary>Lets go of a connection, on a thread that may be left behind.</summary>
    private void Disconnect()
    {
        var (connection, subscription) = (_connection, _subscription);
        (_connection, _subscription) = (null, null);
        if (connection is null)
            return;
        new Thread(() =>
        {
            subscription?.Dispose();
            connection.Dispose();
        })
        { IsBackground = true, Name = "libvirt" }.Start();
    }

    /// <summary>Does something that may block on a thread of its own; what comes of it is entered by ours.</summary>
    private Task Begin<T>(Func<T> work, Action<T> done, Action<string> failed)
    {
        var finished = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() =>
        {
            try
            {
                var result = work();
                Post(() => done(result));
            }
            catch (Exception e) when (e is IOException or ObjectDisposedException)
            {
                Post(() => failed(e.Message));
            }
            finished.SetResult();
        })
        { IsBackground = true, Name = "libvirt" }.Start();
        return finished.Task;
    }

    private Task Enter(Guid uuid, string name, int? id)
    {
        var domain = new GuardedDomain(uuid, name, id, _options.AgentMisses) { AskAt = Environment.TickCount64 };
        _domains[uuid] = domain;
        ListGuests();
        return Look(domain);
    }

    private void Leave(Guid uuid)
    {
        _domains.Remove(uuid);
        ListGuests();
    }

    private void ListGuests() => _guests = [.. _domains.Values.Select(d => d.Target)];

    private Task Look(GuardedDomain domain)
    {
        var connection = _connection!;
        domain.IsBeingLookedAt = true;
        domain.LookAgainAt = null;
        var held = domain.IsHeld ? domain.Setting?.Wanted : null;
        return Begin(() => DomainLook.Take(connection, domain.Uuid, _options.HoldCrashes, held), look => Looked(domain, look), reason => NotSeen(domain, reason));
    }

    private void Looked(GuardedDomain domain, DomainLook look)
    {
        domain.IsBeingLookedAt = false;
        domain.Setting = look.Setting;
        domain.IsHeld = look.IsHeld;
        // Its dead guard's keeper may have been putting it back at that very moment.
        domain.LookAgainAt = look.TookOver ? Environment.TickCount64 + (long)s_ownerInterval.TotalMilliseconds : null;
        if (look.HeldBy is { } other && other != domain.HeldBy)
            _queue.Remark($"{domain.Target}: its on_crash is held by another {other}, which will do it; when that one has ended, this one holds it");
        domain.HeldBy = look.HeldBy;
        if (look.Refusal is { } refusal)
            _queue.Remark($"{domain.Target}: its on_crash stays {CrashSetting.NameOf(look.Setting.OnCrash)}, so a crash can't be dumped: {refusal}");
        if (!look.Setting.HasPanicDevice)
            _queue.Remark($"{domain.Target}: it has no panic device, so it can't tell of a crash: add <panic model='hyperv'/> (Windows, KVM) or <panic model='isa'/> (with a driver in the guest)");
        if (_options.AgentInterval is not null && look.Setting.HasAgent)
            _queue.Remark($"{domain.Target}: libvirt marks it as tainted (custom-ga-command), because its agent is asked for signs of life");
        if (domain.Pending is { } panic)
            TellPanic(domain, panic.Event, panic.At, null);
        else if (look.State == GuestState.Crashed && !domain.HasCrashed)
            TellPanic(domain, new GuestPanicEvent(null, GuestStanding.Stands), DateTimeOffset.UtcNow, "the guest had panicked before we listened");
        domain.Pending = null;
    }

    private void NotSeen(GuardedDomain domain, string reason)
    {
        domain.IsBeingLookedAt = false;
        if (_domains.GetValueOrDefault(domain.Uuid) == domain && _connection is not null)
            _queue.Remark($"{domain.Target}: could not be looked at: {reason}");
        if (domain.Pending is { } panic)
            TellPanic(domain, panic.Event, panic.At, null);
        domain.Pending = null;
    }

    private void Hear(LibvirtConnection connection, LibvirtEvent what)
    {
        if (connection != _connection)
            return;
        if (what is LibvirtEvent.Closed)
        {
            Disconnect();
            Tell(null, GuestAlarmKind.Unreachable, null, $"libvirt at {_uri} has closed the connection; it is tried again", GuestStanding.Unknown);
            return;
        }
        if (what is not LibvirtEvent.OfDomain of || !IsWanted(of.Uuid, of.Name))
            return;
        if (what is LibvirtEvent.Lifecycle { Event: LibvirtEventNative.Started })
        {
            Enter(of.Uuid, of.Name, of.Id);
            Tell(_domains[of.Uuid], GuestAlarmKind.Started, null, "the guest has started", GuestStanding.Runs);
            return;
        }
        if (_domains.GetValueOrDefault(of.Uuid) is { } domain)
            Hear(domain, of);
    }

    private void Hear(GuardedDomain domain, LibvirtEvent.OfDomain what)
    {
        switch (what)
        {
            case LibvirtEvent.Panicked panicked:
                Panicked(domain, GuestPanicEvent.Read(panicked.Data), panicked.At ?? DateTimeOffset.UtcNow);
                break;
            case LibvirtEvent.Lifecycle { Event: LibvirtEventNative.Crashed, Detail: LibvirtEventNative.CrashedPanicked }:
                Panicked(domain, new GuestPanicEvent(null, GuestStanding.Stands), DateTimeOffset.UtcNow);
                break;
            case LibvirtEvent.Lifecycle { Event: LibvirtEventNative.Crashed, Detail: LibvirtEventNative.CrashedCrashLoaded }:
                Tell(domain, GuestAlarmKind.CrashLoaded, null, "the guest has crashed and is about to write a dump of its own (pvpanic: crashloaded)", GuestStanding.Runs);
                break;
            case LibvirtEvent.Lifecycle { Event: LibvirtEventNative.Resumed }:
                (domain.HasCrashed, domain.Hold) = (false, null);
                break;
            case LibvirtEvent.Lifecycle { Event: LibvirtEventNative.Stopped } stopped:
                Stopped(domain, stopped.Detail);
                break;
            case LibvirtEvent.Reboot:
                (domain.HasCrashed, domain.Hold) = (false, null);
                domain.Agent.Forget();
                break;
            case LibvirtEvent.Agent { State: LibvirtEventNative.AgentDisconnected }:
                domain.Agent.Forget();
                break;
            case LibvirtEvent.Watchdog watchdog:
                var action = WatchdogAction(watchdog.Action);
                Tell(domain, GuestAlarmKind.Watchdog, null, $"its watchdog ran out; the action is {action ?? "not told"}", GuestPanicEvent.AfterWatchdog(action), watchdog: action);
                break;
        }
    }

    /// <summary>virDomainEventWatchdogAction in QEMU's words.</summary>
    private static string? WatchdogAction(int action) => action switch
    {
        0 => "none",
        1 => "pause",
        2 => "reset",
        3 => "poweroff",
        4 => "shutdown",
        5 => "debug",
        6 => "inject-nmi",
        _ => null,
    };

    private void Panicked(GuardedDomain domain, GuestPanicEvent panic, DateTimeOffset at)
    {
        // QEMU's event and libvirt's own tell of the same crash.
        if (domain.HasCrashed)
            return;
        domain.HasCrashed = panic.Standing != GuestStanding.Runs;
        if (domain.IsBeingLookedAt)
            domain.Pending ??= (panic, at);
        else
            TellPanic(domain, panic, at, null);
    }

    private void TellPanic(GuardedDomain domain, GuestPanicEvent panic, DateTimeOffset at, string? how)
    {
        domain.HasCrashed = panic.Standing != GuestStanding.Runs;
        var standing = panic.Standing;
        if (standing != GuestStanding.Runs)
        {
            // A guard that was killed since does nothing any more: then it is ours to do.
            if (domain.HeldBy is { } other && other.Look() != OwnerStanding.Lives)
                (domain.HeldBy, domain.IsHeld) = (null, true);
            standing = (domain.IsHeld || domain.HeldBy is not null, domain.Setting?.OnCrash) switch
            {
                (true, _) or (_, CrashAction.Preserve) => GuestStanding.Stands,
                (_, null) => GuestStanding.Unknown,
                (_, CrashAction.Restart or CrashAction.RenameRestart or CrashAction.CoredumpRestart) => GuestStanding.Resets,
                _ => GuestStanding.Ends,
            };
            if (domain.IsHeld)
            {
                var action = domain.Setting!.Wanted;
                domain.Hold = new CrashHold(action, (core, ct) => Apply(domain.Uuid, domain.Id, action, core, ct));
            }
        }
        how ??= panic.Bugcheck is { } report ? $"the guest reported bugcheck {report}" : "the guest panicked";
        Tell(domain, GuestAlarmKind.Panicked, at, how, standing, bugcheck: panic.Bugcheck, hold: domain.Hold);
    }

    /// <summary>Over a connection of its own: ours may be lost just now, and belongs to another thread.</summary>
    private string Apply(Guid uuid, int? id, CrashAction action, string? coreFile, CancellationToken ct)
    {
        using var connection = LibvirtConnection.Open(_uri, readOnly: false, ct);
        return LibvirtCall.Run("the guest's crash action", () => DomainLook.Apply(connection, uuid, id, action, coreFile), ct);
    }

    private void Stopped(GuardedDomain domain, int detail)
    {
        string[] reasons = ["was shut down", "was ended from outside", "ended by a crash", "was migrated to another host", "was saved", "ended because QEMU failed", "was replaced by a snapshot"];
        var reason = detail >= 0 && detail < reasons.Length ? reasons[detail] : "has ended";
        var crashed = domain.HasCrashed || detail is LibvirtEventNative.StoppedCrashed or LibvirtEventNative.StoppedFailed;
        Leave(domain.Uuid);
        Tell(domain, crashed ? GuestAlarmKind.Gone : GuestAlarmKind.Stopped, null, $"the guest {reason}", GuestStanding.Ends);
    }

    /// <summary>Guests whose other guard has ended are looked at anew, and held; such that were taken over once more.</summary>
    private void TakeOver()
    {
        if (_connection is null || !_options.HoldCrashes)
            return;
        foreach (var domain in _domains.Values)
        {
            if (domain.IsBeingLookedAt || (domain.HeldBy is { } other ? other.Look() == OwnerStanding.Lives : !(domain.LookAgainAt <= Environment.TickCount64)))
                continue;
            domain.HeldBy = null;
            Look(domain);
        }
    }

    private void AskAgents()
    {
        if (_options.AgentInterval is not { } interval || _connection is not { } connection)
            return;
        var now = Environment.TickCount64;
        foreach (var domain in _domains.Values)
        {
            if (domain.IsBeingAsked || now < domain.AskAt || domain.Setting is not { HasAgent: true })
                continue;
            domain.IsBeingAsked = true;
            domain.AskAt = now + (long)interval.TotalMilliseconds;
            Begin(
                () =>
                {
                    using var found = connection.Find(domain.Uuid.ToString(), _ended.Token);
                    return found?.AskAgent(_options.AgentPatience) ?? AgentAnswer.NotAsked;
                },
                answer => AgentAsked(domain, answer), _ => AgentAsked(domain, AgentAnswer.NotAsked));
        }
    }

    private void AgentAsked(GuardedDomain domain, AgentAnswer answer)
    {
        domain.IsBeingAsked = false;
        if (_domains.GetValueOrDefault(domain.Uuid) != domain || domain.Agent.Note(answer) is not { } kind)
            return;
        var text = kind == GuestAlarmKind.AgentBack ? "the guest agent answers again" : $"the guest agent has not answered {_options.AgentMisses} times in a row, though the vCPUs run";
        Tell(domain, kind, null, text, GuestStanding.Runs);
    }

    private void Tell(
        GuardedDomain? domain, GuestAlarmKind kind, DateTimeOffset? at, string text, GuestStanding standing, string? watchdog = null, BugcheckReport? bugcheck = null, CrashHold? hold = null) =>
        _queue.Add(new GuestAlarm
        {
            Target = domain?.Target,
            Uuid = domain?.Uuid,
            DomainId = domain?.Id,
            Kind = kind,
            At = at ?? DateTimeOffset.UtcNow,
            Text = domain is null ? text : $"{domain.Target}: {text}",
            Standing = standing,
            WatchdogAction = watchdog,
            Bugcheck = bugcheck,
            Hold = hold,
        });

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _ended.Cancel();
        if (_thread.IsAlive)
            _thread.Join();
        _todo.CompleteAdding();
        // What could not be put back, the keeper tries on when we have ended.
        if (PutBack())
            _lease.Forget();
        _lease.Dispose();
        Disconnect();
        _queue.End();
        _todo.Dispose();
        _ended.Dispose();
    }

    /// <summary>Side by side, because one domain may keep its call waiting for 30 s; all together as long as one call may take.</summary>
    private bool PutBack()
    {
        var done = 0;
        var left = _domains.Values.Where(d => d.IsHeld || d.IsBeingLookedAt || d.Hold is not null).ToList();
        var tasks = new List<Task>();
        foreach (var domain in left)
        {
            tasks.Add(Begin(
                () =>
                {
                    domain.Hold?.Apply(null, CancellationToken.None);
                    using var connection = LibvirtConnection.Open(_uri, readOnly: false, CancellationToken.None);
                    DomainLook.PutBack(connection, domain.Uuid);
                    return Interlocked.Increment(ref done);
                },
                static _ => { }, static _ => { }));
        }
        return Task.WaitAll([.. tasks], LibvirtCall.Patience) && done == left.Count;
    }
}
