using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// The guard's side of its keeper: a child process, one for all sources of a program, that puts back what the guard holds when the guard was killed. Starts with the first hold, and ends when the last who held is done.
/// </summary>
internal sealed unsafe class KeeperProcess
{
    private static readonly TimeSpan s_start = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan s_answer = TimeSpan.FromSeconds(10);

    private static readonly Lock s_sharing = new();
    private static readonly Dictionary<string, KeeperProcess> s_shared = new(StringComparer.Ordinal);

    private readonly Lock _turn = new();
    private readonly ControlSocket _control;
    private readonly int _process;
    private readonly string _key;
    private readonly HashSet<int> _held = [];
    private readonly List<Action<string>> _told = [];
    private readonly TaskCompletionSource _reaped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _users;
    private int _numbers;
    private bool _ending;
    private string? _failure;

    private KeeperProcess(ControlSocket control, int process, string key)
    {
        _control = control;
        _process = process;
        _key = key;
        new Thread(AwaitEnd) { IsBackground = true, Name = "keeper" }.Start();
    }

    /// <summary>The program's keeper, started where there is none. To be given up with <see cref="Leave"/>.</summary>
    /// <param name="host">The program.</param>
    /// <param name="lost">Told, from another thread, when the keeper has ended while it was needed.</param>
    /// <exception cref="IOException">It could not be started.</exception>
    public static KeeperProcess Join(WatchdogHost host, Action<string> lost)
    {
        var key = string.Join('\0', [host.Executable, .. host.Arguments]);
        lock (s_sharing)
        {
            if (!s_shared.TryGetValue(key, out var keeper) || keeper._failure is not null)
                s_shared[key] = keeper = Start(host, key);
            keeper._users++;
            lock (keeper._told)
                keeper._told.Add(lost);
            return keeper;
        }
    }

    private static KeeperProcess Start(WatchdogHost host, string key)
    {
        var (control, other) = ControlSocket.Pair();
        KeeperProcess keeper;
        using (other)
        {
            try
            {
                string[] arguments = [.. host.Arguments, Watchdog.Verb, HoldMessages.GuardOption, Environment.ProcessId.ToString(CultureInfo.InvariantCulture)];
                keeper = new KeeperProcess(control, ChildProcess.Start(host.Executable, arguments, [other.Number]), key);
            }
            catch
            {
                control.Dispose();
                throw;
            }
        }
        if (control.Receive(s_start) is var answer && answer == HoldMessages.Ready)
            return keeper;
        keeper.End(isBye: true);
        throw new IOException($"{host.Executable} did not become ready ({answer ?? "it said nothing"})");
    }

    /// <summary>A number for something that will be held.</summary>
    public int NewNumber() => Interlocked.Increment(ref _numbers);

    /// <summary>Has the keeper know of a setting before it is changed. Null, or why it does not.</summary>
    public string? Hold(int number, HeldSetting setting)
    {
        lock (_turn)
        {
            if (_failure is not null)
                return _failure;
            var message = string.Create(CultureInfo.InvariantCulture, $"{HoldMessages.Hold} {number} {setting.ToMessage()}");
            if (message.Length >= ControlSocket.LongestMessage)
                return "its name is too long for the keeper";
            if (!_control.Send(message) || _control.Receive(s_answer) != HoldMessages.Kept)
                return _failure = $"the keeper (process {_process}) does not answer";
            _held.Add(number);
            return null;
        }
    }

    /// <summary>It was put back, or what had it is gone.</summary>
    public void Forget(int number)
    {
        lock (_turn)
        {
            _held.Remove(number);
            // Without an answer: that nothing is known of it any more does no harm if it comes late.
            _control.Send(string.Create(CultureInfo.InvariantCulture, $"{HoldMessages.Forget} {number}"));
        }
    }

    /// <summary>Ends the keeper when nobody needs it any more. What is still held then is left to it: it puts that back when this process has ended.</summary>
    public void Leave(Action<string> lost)
    {
        lock (s_sharing)
        {
            lock (_told)
                _told.Remove(lost);
            if (--_users > 0)
                return;
            if (s_shared.GetValueOrDefault(_key) == this)
                s_shared.Remove(_key);
        }
        bool isBye;
        lock (_turn)
            isBye = _held.Count == 0;
        End(isBye);
    }

    private void End(bool isBye)
    {
        const int Patience = 1000;
        lock (_turn)
        {
            _ending = true;
            if (isBye)
                _control.Send(HoldMessages.Bye);
            _control.Dispose();
        }
        if (isBye)
            _reaped.Task.Wait(Patience);
    }

    /// <summary>Collects the child when it ends; too early, its end is told.</summary>
    private void AwaitEnd()
    {
        int status;
        while (LinuxNative.WaitProcess(_process, &status, 0) < 0 && Marshal.GetLastPInvokeError() == LinuxNative.EINTR)
        {
            // A signal came between.
        }
        _reaped.SetResult();
        lock (_turn)
        {
            if (_ending)
                return;
            _failure ??= $"the keeper (process {_process}) has ended";
        }
        lock (_told)
        {
            foreach (var lost in _told)
                lost(_failure);
        }
    }
}
