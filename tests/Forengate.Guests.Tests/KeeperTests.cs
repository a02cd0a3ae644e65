using System.Diagnostics;
using System.Net.Sockets;

namespace Forengate.Guests.Tests;

/// <summary>A guard that is killed leaves no QEMU changed: what it held is put back by its keeper.</summary>
public sealed class KeeperTests
{
    private const int SigKill = 9;
    private const int SigStop = 19;
    private const int SigCont = 18;
    private static readonly CancellationToken Ct = CancellationToken.None;
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    [Theory]
    [InlineData(GuardVictim.Kept)]
    [InlineData(GuardVictim.Alone)]
    public void What_QEMU_does_by_itself_is_put_back_when_the_guard_is_killed(string how)
    {
        using var qemu = Start();
        using var guard = StartGuard(how, "qmp", qemu.Socket);
        qemu.Referee.Continue();
        if (how == GuardVictim.Alone)
            Assert.Empty(KeepersOf(guard.Id));
        else
            Assert.Single(KeepersOf(guard.Id));
        var said = KillAndAwaitKeeper(guard);
        if (how == GuardVictim.Kept)
            Assert.Equal($"forengate: watchdog: its guard has ended: qmp:{qemu.Socket}: put its panic action back to shutdown", said.TrimEnd());
        else
            Assert.Empty(said);
        Panic(qemu);
        if (how == GuardVictim.Kept)
            TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
        else
            Assert.Equal("guest-panicked", Status(qemu));
    }

    [Fact]
    public void A_guard_killed_in_a_capture_leaves_a_guest_that_runs_and_ends_as_it_did()
    {
        using var qemu = Start();
        using var guard = StartGuard(GuardVictim.Kept, "qmp", qemu.Socket);
        qemu.Referee.Continue();
        guard.StandardInput.WriteLine(GuardVictim.Lend);
        Assert.Equal("holding", guard.StandardOutput.ReadLine());
        Assert.False(qemu.IsRunning);
        var said = KillAndAwaitKeeper(guard);
        Assert.Contains("put its panic action back to shutdown", said, StringComparison.Ordinal);
        Assert.Contains($"continued qmp:{qemu.Socket}", said, StringComparison.Ordinal);
        Assert.True(qemu.IsRunning);
        Panic(qemu);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
    }

    [Fact]
    public void A_guest_that_crashed_under_the_guard_is_left_standing_and_its_next_crash_is_its_own()
    {
        using var qemu = Start();
        using var guard = StartGuard(GuardVictim.Kept, "qmp", qemu.Socket);
        qemu.Referee.Continue();
        Panic(qemu);
        Assert.Equal("guest-panicked", Status(qemu));
        var said = KillAndAwaitKeeper(guard);
        Assert.Contains("put its panic action back to shutdown; the guest has crashed and stands still", said, StringComparison.Ordinal);
        Assert.Single(said.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal("guest-panicked", Status(qemu));
        qemu.Referee.Qmp("system_reset", null, Ct);
        TestQemu.WaitFor(() => Status(qemu) != "guest-panicked", "the reset");
        qemu.Referee.Continue();
        Panic(qemu);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
    }

    [Fact]
    public void Of_several_guests_each_is_put_back_by_one_process()
    {
        using var first = Start();
        using var second = Start("-action", "panic=exit-failure");
        using var third = Start("-action", "panic=pause");
        using var guard = StartGuard(GuardVictim.Kept, "qmp", first.Socket, second.Socket, third.Socket);
        Assert.Single(KeepersOf(guard.Id));
        var said = KillAndAwaitKeeper(guard);
        Assert.Contains($"qmp:{first.Socket}: put its panic action back to shutdown", said, StringComparison.Ordinal);
        Assert.Contains($"qmp:{second.Socket}: put its panic action back to exit-failure", said, StringComparison.Ordinal);
        // One that pauses by itself is not changed, so nothing is put back.
        Assert.DoesNotContain(third.Socket, said, StringComparison.Ordinal);
        foreach (var qemu in (TestQemu[])[first, second])
        {
            qemu.Referee.Continue();
            Panic(qemu);
            TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
        }
        third.Referee.Continue();
        Panic(third);
        Assert.Equal("guest-panicked", Status(third));
    }

    [Fact]
    public void While_the_guard_lives_nothing_is_put_back_though_it_hangs()
    {
        using var qemu = Start();
        using var guard = StartGuard(GuardVictim.Kept, "qmp", qemu.Socket);
        qemu.Referee.Continue();
        WatchdogTests.Signal(guard.Id, SigStop);
        var keeper = Assert.Single(KeepersOf(guard.Id));
        // Longer than the keeper sleeps at a time.
        Thread.Sleep(TimeSpan.FromSeconds(6));
        Assert.True(WatchdogTests.IsAlive(keeper));
        Panic(qemu);
        Assert.Equal("guest-panicked", Status(qemu));
        WatchdogTests.Signal(guard.Id, SigCont);
        Assert.Contains("stands still", KillAndAwaitKeeper(guard), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(1)]
    [InlineData(15)]
    public void What_a_terminal_or_a_service_manager_tells_every_process_does_not_end_the_keeper(int signal)
    {
        using var qemu = Start();
        using var guard = StartGuard(GuardVictim.Kept, "qmp", qemu.Socket);
        var keeper = Assert.Single(KeepersOf(guard.Id));
        WatchdogTests.Signal(keeper, signal);
        Assert.Contains("put its panic action back", KillAndAwaitKeeper(guard), StringComparison.Ordinal);
    }

    [Fact]
    public void A_guard_that_ends_in_order_puts_back_by_itself_and_its_keeper_ends_in_silence()
    {
        using var qemu = Start();
        using var guard = StartGuard(GuardVictim.Kept, "qmp", qemu.Socket);
        var keeper = Assert.Single(KeepersOf(guard.Id));
        guard.StandardInput.Close();
        Assert.Equal("ended", guard.StandardOutput.ReadLine());
        Assert.Empty(guard.StandardError.ReadToEnd());
        Assert.True(guard.WaitForExit(s_patience));
        Assert.False(WatchdogTests.IsAlive(keeper));
        qemu.Referee.Continue();
        Panic(qemu);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
    }

    [Fact]
    public void A_QEMU_started_anew_on_the_same_socket_is_left_alone()
    {
        var folder = Directory.CreateTempSubdirectory("forengate-keeper-").FullName;
        try
        {
            var socket = Path.Combine(folder, "qmp");
            using var guard = GuardOfEnded(socket);
            using var next = Start("-action", "panic=pause", "-qmp", $"unix:{socket},server=on,wait=off");
            next.Referee.Continue();
            var said = KillAndAwaitKeeper(guard);
            Assert.Contains($"qmp:{socket}: its QEMU has ended: nothing to put back", said, StringComparison.Ordinal);
            Panic(next);
            Assert.Equal("guest-panicked", Status(next));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Its QEMU ended while it hung.</summary>
    private static Process GuardOfEnded(string socket)
    {
        using var first = Start("-qmp", $"unix:{socket},server=on,wait=off");
        var guard = StartGuard(GuardVictim.Kept, "qmp", socket);
        WatchdogTests.Signal(guard.Id, SigStop);
        return guard;
    }

    [Fact]
    public void Another_process_that_listens_there_is_not_told_anything()
    {
        using var qemu = Start("-action", "panic=pause");
        var said = new List<string>();
        // We are there, and it is not us who listens.
        var held = new HeldSetting.OfMonitor(qemu.Socket, Environment.ProcessId, HeldSetting.OfMonitor.StartOf(Environment.ProcessId), "shutdown");
        Assert.True(MonitorPutBack.Run(held, 0, said.Add, TimeSpan.FromSeconds(1)));
        Assert.Equal([$"qmp:{qemu.Socket}: another QEMU listens there now: left alone"], said);
        qemu.Referee.Continue();
        Panic(qemu);
        Assert.Equal("guest-panicked", Status(qemu));
    }

    [Fact]
    public void A_monitor_that_somebody_else_keeps_is_left_to_them()
    {
        using var qemu = Start();
        var said = new List<string>();
        var held = new HeldSetting.OfMonitor(qemu.Socket, qemu.ProcessId, HeldSetting.OfMonitor.StartOf(qemu.ProcessId), "none");
        var waiting = new List<Socket>();
        try
        {
            using (AlarmSources.ForQmp(qemu.Socket, new AlarmOptions(), null, Ct))
            {
                Assert.False(MonitorPutBack.Run(held, 0, said.Add, TimeSpan.FromSeconds(1)));
                Assert.Contains("another program has had the monitor", Assert.Single(said), StringComparison.Ordinal);
                // Even where so many wait for their turn that connecting itself waits.
                for (var i = 0; i < 4; i++)
                {
                    var one = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { SendTimeout = 100 };
                    waiting.Add(one);
                    try
                    {
                        one.Connect(new UnixDomainSocketEndPoint(qemu.Socket));
                    }
                    catch (SocketException)
                    {
                        break;
                    }
                }
                Assert.False(MonitorPutBack.Run(held, 0, said.Add, TimeSpan.FromSeconds(1)));
                Assert.Equal(2, said.Count);
            }
        }
        finally
        {
            waiting.ForEach(one => one.Dispose());
        }
        qemu.Referee.Continue();
        Panic(qemu);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
    }

    [Fact]
    public async Task While_a_watchdog_of_the_dead_guards_capture_lives_the_monitor_is_waited_for()
    {
        using var qemu = Start();
        var said = new List<string>();
        // A process of that command line, whose guard has a number that no process has.
        const int Guard = int.MaxValue;
        using var watchdog = Process.Start("sh", ["-c", "sleep 600; true", Watchdog.Verb, WatchdogMessages.ParentOption, $"{Guard}", WatchdogMessages.TargetOption, qemu.Target.ToString()]);
        try
        {
            var held = new HeldSetting.OfMonitor(qemu.Socket, qemu.ProcessId, HeldSetting.OfMonitor.StartOf(qemu.ProcessId), "shutdown");
            Task<bool> put;
            using (QmpMonitor.Open(qemu.Socket, Ct))
            {
                qemu.Referee.Qmp("set-action", w => w.WriteString("panic", "pause"), Ct);
                put = Task.Run(() => MonitorPutBack.Run(held, Guard, said.Add, TimeSpan.FromSeconds(1)), Ct);
                // Longer than it waits for a greeting and for its patience.
                Thread.Sleep(TimeSpan.FromSeconds(8));
                Assert.False(put.IsCompleted);
            }
            Assert.True(await put);
            Assert.Equal([$"qmp:{qemu.Socket}: put its panic action back to shutdown"], said);
        }
        finally
        {
            watchdog.Kill(entireProcessTree: true);
            watchdog.WaitForExit();
        }
        qemu.Referee.Continue();
        Panic(qemu);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
    }

    [Fact]
    public void A_guard_that_comes_at_once_holds_the_guest_whoever_is_first()
    {
        using var qemu = Start();
        using var guard = StartGuard(GuardVictim.Kept, "qmp", qemu.Socket);
        qemu.Referee.Continue();
        WatchdogTests.Signal(guard.Id, SigKill);
        using (var next = AlarmSources.ForQmp(qemu.Socket, new AlarmOptions(), null, Ct))
        {
            Panic(qemu);
            var alarm = next.Next(s_patience, Ct);
            Assert.Equal(GuestAlarmKind.Panicked, alarm!.Kind);
            Assert.NotNull(alarm.Hold);
            Assert.Equal("guest-panicked", Status(qemu));
        }
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
        guard.StandardError.ReadToEnd();
        Assert.True(guard.WaitForExit(s_patience));
    }

    [Fact]
    public void A_guard_works_without_its_keeper_and_says_what_that_means()
    {
        using var qemu = Start();
        foreach (var host in (WatchdogHost[])[new("/nonexistent/forengate", []), new("/bin/true", [])])
        {
            using var alone = AlarmSources.ForQmp(qemu.Socket, new AlarmOptions { Watchdog = host }, null, Ct);
            var remark = Assert.Single(alone.Remarks);
            Assert.Contains("its keeper could not be started", remark, StringComparison.Ordinal);
            Assert.Contains("leaves QEMU's action on a panic at pause", remark, StringComparison.Ordinal);
        }
        using var source = AlarmSources.ForQmp(qemu.Socket, new AlarmOptions { Watchdog = WatchdogHost.ThisProgram() }, null, Ct);
        Assert.Empty(source.Remarks);
        WatchdogTests.Signal(Assert.Single(KeepersOf(Environment.ProcessId)), SigKill);
        TestQemu.WaitFor(() => source.Remarks.Count > 0, "the keeper's loss to be told");
        Assert.Contains("has ended, so a guard that is killed", Assert.Single(source.Remarks), StringComparison.Ordinal);
        qemu.Referee.Continue();
        Panic(qemu);
        Assert.Equal(GuestAlarmKind.Panicked, source.Next(s_patience, Ct)!.Kind);
        Assert.Equal("guest-panicked", Status(qemu));
    }

    [Fact]
    public void What_is_held_goes_over_the_socket_as_it_is()
    {
        foreach (var held in (HeldSetting[])
            [
                new HeldSetting.OfMonitor("/run/my vm/ä\n%20.sock", 12, ulong.MaxValue, "exit-failure"), new HeldSetting.OfMonitor("./s", int.MaxValue, 0, ""),
                new HeldSetting.OfLibvirt("qemu+unix:///session?socket=/a b/ü"),
            ])
        {
            var message = held.ToMessage();
            Assert.All(message, c => Assert.InRange(c, ' ', '~'));
            Assert.Equal(held, HeldSetting.FromMessage(message.Split(' ')));
        }
        foreach (var wrong in (string[])["", "qmp", "qmp a b c d", "qmp a 1 -1 d", "qmp a 1 1", "libvirt", "libvirt a b", "other a"])
            Assert.Null(HeldSetting.FromMessage(wrong.Split(' ')));
    }

    [Theory]
    [InlineData("x", 2)]
    [InlineData("0", 2)]
    [InlineData("2147483647", 0)]
    public void A_keeper_started_by_hand_ends_at_once(string guard, int code) => Assert.Equal(code, Watchdog.RunAsChild(["--guard", guard]));

    private static TestQemu Start(params string[] arguments) => AlarmQmpTests.Start(AlarmGuest.Nothing, [.. AlarmQmpTests.s_plain, .. AlarmQmpTests.s_isa, .. arguments]);

    internal static Process StartGuard(params string[] arguments)
    {
        var host = WatchdogHost.ThisProgram();
        var guard = Process.Start(new ProcessStartInfo(host.Executable, [.. host.Arguments, GuardVictim.Verb, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Assert.Equal("listening", guard.StandardOutput.ReadLine());
        return guard;
    }

    /// <summary>Kills a guard; what its keeper, and a capture's watchdog, said until they ended: they keep its stderr open.</summary>
    internal static string KillAndAwaitKeeper(Process guard)
    {
        var children = WatchdogTests.ChildrenOf(guard.Id);
        WatchdogTests.Signal(guard.Id, SigKill);
        var said = guard.StandardError.ReadToEndAsync();
        Assert.True(said.Wait(s_patience), "the keeper does not end");
        Assert.True(guard.WaitForExit(s_patience));
        TestQemu.WaitFor(() => !children.Exists(WatchdogTests.IsAlive), "the guard's children to end");
        return said.Result;
    }

    internal static List<int> KeepersOf(int guard) =>
        WatchdogTests.ChildrenOf(guard).FindAll(child => WatchdogTests.CommandLine(child).Contains($"{Watchdog.Verb} --guard {guard}", StringComparison.Ordinal));

    /// <summary>Has the guest panic; firmware that boots throws away what it was told by then.</summary>
    private static void Panic(TestQemu qemu) => TestQemu.WaitFor(
        () =>
        {
            try
            {
                AlarmQmpTests.Tell(qemu, AlarmGuest.IsaPanic);
                return qemu.HasExited || Status(qemu) == "guest-panicked";
            }
            catch (Exception e) when (e is SocketException or GuestException)
            {
                // It is just ending.
                return qemu.HasExited;
            }
        },
        "the panic");

    private static string Status(TestQemu qemu) => qemu.Referee.QueryState(Ct).Status;
}
