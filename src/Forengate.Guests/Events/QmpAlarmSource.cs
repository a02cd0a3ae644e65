using System.Diagnostics;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>Listens on a QMP socket of QEMU's (docs/guard-events.md).</summary>
internal sealed class QmpAlarmSource : IAlarmSource
{
    private static readonly TimeSpan s_greeting = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_command = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_firstRetry = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan s_longestRetry = TimeSpan.FromSeconds(5);
    /// <summary>Without an event the socket is looked at this often, so that nothing depends on being woken.</summary>
    private static readonly TimeSpan s_slice = TimeSpan.FromMilliseconds(250);

    private readonly string _socket;
    private readonly AlarmOptions _options;
    private readonly GuestTarget _target;
    private readonly bool _lends;
    private readonly AlarmQueue _queue = new();
    private readonly CancellationTokenSource _ended = new();
    private readonly Lock _turn = new();
    private readonly ManualResetEventSlim _released = new(initialState: false);
    private readonly ManualResetEventSlim _returned = new(initialState: true);
    private readonly Thread _listener;
    private readonly Thread? _asker;
    private readonly HoldLease _lease;
    private QmpConnection? _connection;
    private QmpPanicSetting _panic = QmpPanicSetting.Default;
    private CrashHold? _hold;
    private int _loans;
    private volatile bool _running;
    private volatile bool _crashed;
    /// <summary>It stands because its watchdog ran out, and that was told: the connection is made anew after each loan, and finds it standing still.</summary>
    private volatile bool _ranOut;
    private volatile bool _isGone;
    private volatile int _boots;
    private string? _ending;
    private bool _set;
    private bool _disposed;

    private QmpAlarmSource(QmpConnection connection, string socket, string? captureSocket, AlarmOptions options)
    {
        _socket = socket;
        _options = options;
        _target = new GuestTarget(GuestTargetKind.Qmp, captureSocket ?? socket);
        _lends = captureSocket is null;
        _lease = new HoldLease(options.Watchdog, Name, _queue.Remark);
        try
        {
            Begin(connection, isNew: true, isFirst: true);
        }
        catch
        {
            _lease.Dispose();
            throw;
        }
        _listener = new Thread(Listen) { IsBackground = true, Name = "qmp-alarms" };
        _asker = options is { AgentInterval: not null, AgentSocket: not null } ? new Thread(AskAgent) { IsBackground = true, Name = "agent" } : null;
        _listener.Start();
        _asker?.Start();
    }

    public string Name => $"qmp:{_socket}";

    public IReadOnlyList<GuestTarget> Guests => IsOver ? [] : [_target];

    public IReadOnlyList<string> Remarks => _queue.Remarks;

    public bool IsOver => _queue.IsOver;

    public static QmpAlarmSource Open(string socket, string? captureSocket, AlarmOptions options, CancellationToken ct)
    {
        var connection = QmpConnection.Open(socket, s_greeting, s_command, ct);
        try
        {
            return new QmpAlarmSource(connection, socket, captureSocket, options);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    public GuestAlarm? Next(TimeSpan patience, CancellationToken ct) => _queue.Next(patience, ct);

    /// <summary>Takes a connection into use: what stands already is looked at, crashes are held, and from here on events are heard.</summary>
    private void Begin(QmpConnection connection, bool isNew, bool isFirst)
    {
        connection.OnEvent = Hear;
        if (isNew)
        {
            _panic = QmpPanicSetting.Of(connection.PeerProcess) ?? Unknown();
            (_set, _crashed, _ranOut, _ending, _hold) = (false, false, false, null, null);
            _boots++;
        }
        var wasHeld = _set;
        if (_options.HoldCrashes && !_panic.Pauses && _panic.Action != "none")
            _set = Hold(connection);
        var state = MonitorCommands.ParseState(connection.Execute("query-status", null, s_command, _ended.Token));
        lock (_turn)
            _connection = connection;
        (_running, _isGone) = (state.Running, false);
        if (isNew && !isFirst)
            Tell(GuestAlarmKind.Started, null, "a QEMU answers on the socket again", _running ? GuestStanding.Runs : GuestStanding.Stands);
        if (state.Status == "guest-panicked")
            Panicked(new GuestPanicEvent(null, GuestStanding.Stands), null, wasHeld, "the guest had panicked before we listened");
        else if (state.Status == "watchdog")
            FoundRunOut();
        else
            (_crashed, _ranOut) = (false, false);
    }

    private void FoundRunOut()
    {
        if (_ranOut)
            return;
        _ranOut = true;
        Tell(GuestAlarmKind.Watchdog, null, "its watchdog had run out before we listened, and it stands still", GuestStanding.Stands, watchdog: "pause");
    }

    private QmpPanicSetting Unknown()
    {
        _queue.Remark($"{Name}: QEMU's command line can't be read, so its own action on a panic is taken to be QEMU's default (shutdown)");
        return QmpPanicSetting.Default;
    }

    /// <summary>The keeper is told first: killed between the two, we leave one that puts back what is so.</summary>
    private bool Hold(QmpConnection connection)
    {
        if (connection.PeerProcess is { } process)
            _lease.Hold(new HeldSetting.OfMonitor(_socket, process, HeldSetting.OfMonitor.StartOf(process), _panic.Action));
        else
            _lease.Without("QEMU's process can't be told", "QEMU's action on a panic at pause");
        if (SetPanic(connection, "pause"))
            return true;
        _lease.Forget();
        return false;
    }

    /// <summary>Since QEMU 6.0.</summary>
    private bool SetPanic(QmpConnection connection, string action)
    {
        try
        {
            connection.Execute("set-action", w => w.WriteString("panic", action), s_command, CancellationToken.None);
            return true;
        }
        catch (QmpRefusedException e)
        {
            _queue.Remark($"{Name}: a panic can't be held ({e.Message}); start QEMU with -no-shutdown, or a crashed guest is gone before it can be dumped");
            return false;
        }
    }

    private void Listen()
    {
        try
        {
            while (!_ended.IsCancellationRequested)
            {
                if (Volatile.Read(ref _loans) > 0)
                {
                    Close();
                    _released.Set();
                    _returned.Wait(_ended.Token);
                    continue;
                }
                if (_connection is null && !Reconnect())
                    return;
                Hearken();
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed.
        }
        finally
        {
            _released.Set();
            if (!_ended.IsCancellationRequested)
                _queue.End();
        }
    }

    /// <summary>Hears events until the connection ends or is wanted by somebody else.</summary>
    private void Hearken()
    {
        var connection = _connection!;
        try
        {
            while (!_ended.IsCancellationRequested && Volatile.Read(ref _loans) == 0)
            {
                if (!connection.WaitReadable(s_slice))
                    continue;
                lock (_turn)
                    connection.DrainEvents();
            }
        }
        catch (GuestException)
        {
            Close();
            if (_ended.IsCancellationRequested || Volatile.Read(ref _loans) > 0)
                return;
            (_running, _isGone) = (false, true);
            if (_ending is { } reason)
                Tell(_crashed ? GuestAlarmKind.Gone : GuestAlarmKind.Stopped, null, $"QEMU has ended ({reason})", GuestStanding.Ends);
            else
                Tell(GuestAlarmKind.Gone, null, "QEMU closed its monitor without having announced its end: killed or crashed", GuestStanding.Ends);
            (_ending, _hold, _set) = (null, null, false);
            _lease.Forget();
        }
    }

    private bool Reconnect()
    {
        var began = Stopwatch.GetTimestamp();
        var isLoan = _released.IsSet;
        for (var pause = isLoan ? TimeSpan.Zero : s_firstRetry; ; pause = TimeSpan.FromTicks(Math.Min(Math.Max(pause.Ticks, s_firstRetry.Ticks) * 2, s_longestRetry.Ticks)))
        {
            if (_ended.Token.WaitHandle.WaitOne(pause) || Volatile.Read(ref _loans) > 0)
                return true;
            QmpConnection? connection = null;
            try
            {
                connection = QmpConnection.Open(_socket, s_greeting, s_command, _ended.Token);
                Begin(connection, isNew: !isLoan, isFirst: false);
                _released.Reset();
                return true;
            }
            catch (OperationCanceledException)
            {
                connection?.Dispose();
                throw;
            }
            catch (Exception e) when (e is IOException)
            {
                connection?.Dispose();
                lock (_turn)
                    _connection = null;
                _isGone = e is GuestException { Failure: GuestFailure.NotFound or GuestFailure.NotRunning };
                if (isLoan && _isGone)
                {
                    isLoan = false;
                    _released.Reset();
                    _lease.Forget();
                    Tell(GuestAlarmKind.Gone, null, "QEMU ended while its monitor was lent out", GuestStanding.Ends);
                }
                if (_options.ReconnectFor is { } limit && Stopwatch.GetElapsedTime(began) >= limit)
                {
                    _queue.Remark($"{Name}: given up after {limit.TotalSeconds:0.#} s: {e.Message}");
                    return false;
                }
            }
        }
    }

    private void Close()
    {
        lock (_turn)
        {
            _connection?.Dispose();
            _connection = null;
        }
    }

    private void Hear(string name, DateTimeOffset? at, JsonElement data)
    {
        switch (name)
        {
            case "GUEST_PANICKED":
                var panic = GuestPanicEvent.Read(data);
                Panicked(panic, at, _set, panic.Bugcheck is { } report ? $"the guest reported bugcheck {report}" : "the guest panicked (pvpanic)");
                break;
            case "GUEST_CRASHLOADED":
                Tell(GuestAlarmKind.CrashLoaded, at, "the guest has crashed and is about to write a dump of its own (pvpanic: crashloaded)", GuestStanding.Runs);
                break;
            case "WATCHDOG":
                var action = data.Text("action");
                _ranOut = action == "pause";
                Tell(GuestAlarmKind.Watchdog, at, $"its watchdog ran out; QEMU's action is {action ?? "not told"}", GuestPanicEvent.AfterWatchdog(action), action);
                break;
            case "STOP":
                _running = false;
                break;
            case "RESUME":
                (_running, _crashed, _ranOut, _hold) = (true, false, false, null);
                break;
            case "RESET":
                (_crashed, _ranOut, _hold) = (false, false, null);
                _boots++;
                break;
            case "SHUTDOWN":
                _ending = data.Text("reason") ?? "shutdown";
                break;
        }
    }

    /// <param name="panic">What QEMU told.</param>
    /// <param name="at">When, by QEMU.</param>
    /// <param name="isOurs">It stands because we asked for it. One that stands otherwise, somebody may want to stand: it is nobody's to end.</param>
    /// <param name="how">For people.</param>
    private void Panicked(GuestPanicEvent panic, DateTimeOffset? at, bool isOurs, string how)
    {
        if (_crashed)
            return;
        _crashed = true;
        _hold = isOurs && panic.Standing == GuestStanding.Stands ? new CrashHold(CrashAction.Destroy, (_, ct) => EndQemu(ct)) : null;
        Tell(GuestAlarmKind.Panicked, at, how, panic.Standing, bugcheck: panic.Bugcheck, hold: _hold);
    }

    /// <summary>What QEMU would have done by itself.</summary>
    private string EndQemu(CancellationToken ct)
    {
        try
        {
            return WithConnection(
                connection =>
                {
                    if (MonitorCommands.ParseState(connection.Execute("query-status", null, s_command, ct)).Status != "guest-panicked")
                        return "the guest was reset or continued by somebody meanwhile: left alone";
                    connection.Execute("quit", null, s_command, ct);
                    return $"QEMU was ended, as its own panic action ({_panic.Action}) asks for";
                },
                ct);
        }
        catch (GuestException e) when (e.Failure is GuestFailure.Vanished or GuestFailure.NotRunning or GuestFailure.NotFound)
        {
            return "QEMU had ended by itself";
        }
        catch (QmpRefusedException e)
        {
            throw new GuestException(GuestFailure.MonitorFailed, $"{Name}: {e.Message}", e);
        }
    }

    /// <summary>
    /// Uses our connection, and waits for it where it is being made again: QEMU would not greet a second one. While the socket is lent out, one of its own, if whoever has it is done with it.
    /// </summary>
    private T WithConnection<T>(Func<QmpConnection, T> use, CancellationToken ct)
    {
        const int Pause = 20;
        for (var began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < s_command; ct.WaitHandle.WaitOne(Pause))
        {
            ct.ThrowIfCancellationRequested();
            lock (_turn)
            {
                if (_connection is { } connection)
                    return use(connection);
                if (_loans > 0)
                    break;
            }
            if (_isGone || _ended.IsCancellationRequested || _queue.IsOver)
                break;
        }
        using var own = QmpConnection.Open(_socket, s_greeting, s_command, ct);
        return use(own);
    }

    private void Tell(
        GuestAlarmKind kind, DateTimeOffset? at, string text, GuestStanding standing, string? watchdog = null, BugcheckReport? bugcheck = null, CrashHold? hold = null) =>
        _queue.Add(new GuestAlarm
        {
            Target = _target,
            Kind = kind,
            At = at ?? DateTimeOffset.UtcNow,
            Text = $"{_target}: {text}",
            Standing = standing,
            WatchdogAction = watchdog,
            Bugcheck = bugcheck,
            Hold = hold,
        });

    private void AskAgent()
    {
        var watch = new AgentWatch(_options.AgentMisses);
        using var agent = new AgentSocket(_options.AgentSocket!);
        var boots = _boots;
        try
        {
            while (!_ended.Token.WaitHandle.WaitOne(_options.AgentInterval!.Value))
            {
                if (boots != _boots)
                {
                    boots = _boots;
                    watch.Forget();
                }
                // While the monitor is lent out, a capture may have the guest stopped without our hearing of it.
                var couldAnswer = _running && Volatile.Read(ref _loans) == 0;
                var answer = couldAnswer ? agent.Ask(_options.AgentPatience, _ended.Token) : AgentAnswer.NotAsked;
                if (answer == AgentAnswer.Silent && (!_running || Volatile.Read(ref _loans) > 0))
                    answer = AgentAnswer.NotAsked;
                if (watch.Note(answer) is { } kind)
                    TellAgent(kind);
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed.
        }
    }

    private void TellAgent(GuestAlarmKind kind) => Tell(
        kind, null,
        kind == GuestAlarmKind.AgentBack ? "the guest agent answers again" : $"the guest agent has not answered {_options.AgentMisses} times in a row, though the vCPUs run",
        GuestStanding.Runs);

    public IDisposable Lend(GuestTarget target, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(target);
        if (!_lends || target != _target || _queue.IsOver)
            return Loan.Nothing;
        lock (_turn)
        {
            if (_loans++ == 0)
                _returned.Reset();
            _connection?.HangUp();
        }
        var loan = new Loan(() =>
        {
            lock (_turn)
            {
                if (--_loans == 0)
                    _returned.Set();
            }
        });
        try
        {
            _released.Wait(ct);
            return loan;
        }
        catch
        {
            loan.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _ended.Cancel();
        // The listener leaves its connection for putting things back with.
        _listener.Join();
        _asker?.Join();
        PutBack();
        _lease.Dispose();
        Close();
        _queue.End();
        _ended.Dispose();
        _released.Dispose();
        _returned.Dispose();
    }

    private void PutBack()
    {
        try
        {
            _hold?.Apply(null, CancellationToken.None);
            if (_set)
                WithConnection(connection => SetPanic(connection, _panic.Action), CancellationToken.None);
            _lease.Forget();
        }
        catch (GuestException e) when (e.Failure is GuestFailure.Vanished or GuestFailure.NotFound or GuestFailure.NotRunning)
        {
            // QEMU has ended: nothing is left to put back.
            _lease.Forget();
        }
        catch (IOException)
        {
            // Somebody else has its monitor, or it does not answer: the keeper tries on when we have ended.
        }
    }
}
