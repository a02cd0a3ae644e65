using System.Diagnostics;

namespace Forengate.Guests.Tests;

/// <summary>Alarms of real QEMUs over QMP, from guests that panic, hang or end.</summary>
public sealed class AlarmQmpTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    /// <summary>QEMU ends by itself on a panic, as it does without being asked (the fixture asks for -no-shutdown).</summary>
    internal static readonly string[] s_plain = ["-action", "shutdown=poweroff"];
    internal static readonly string[] s_isa = ["-device", "pvpanic"];
    private static readonly string[] s_pci = ["-device", "pvpanic-pci,addr=5"];

    internal static TestQemu Start(char atBoot, params string[] arguments)
    {
        var qemu = new TestQemu(["-S", "-m", "64", "-kernel", "FOLDER/alarm.bin", "-chardev", "socket,id=com,path=FOLDER/com,server=on,wait=off", "-device", "isa-serial,chardev=com", .. arguments],
            folder => File.WriteAllBytes(Path.Combine(folder, "alarm.bin"), AlarmGuest.Image(atBoot)));
        return qemu;
    }

    internal static void Tell(TestQemu qemu, char letter) => AlarmGuest.Tell(Path.Combine(qemu.Folder, "com"), letter);

    private static IAlarmSource Listen(TestQemu qemu, AlarmOptions? options = null) => AlarmSources.ForQmp(qemu.Socket, options ?? new AlarmOptions(), null, CancellationToken.None);

    private static GuestAlarm Next(IAlarmSource source, GuestAlarmKind kind)
    {
        var alarm = source.Next(s_patience, CancellationToken.None);
        Assert.NotNull(alarm);
        Assert.True(alarm.Kind == kind, $"{alarm.Kind}: {alarm.Text}");
        Assert.DoesNotContain('\n', alarm.Text);
        return alarm;
    }

    [Theory]
    [InlineData(AlarmGuest.IsaPanic, true)]
    [InlineData(AlarmGuest.IsaPanic, false)]
    [InlineData(AlarmGuest.PciPanic, true)]
    [InlineData(AlarmGuest.PciPanic, false)]
    public void A_guest_that_panics_waits_until_it_is_dumped(char how, bool atBoot)
    {
        using var qemu = Start(atBoot ? how : AlarmGuest.Nothing, [.. s_plain, .. s_isa, .. s_pci]);
        using var source = Listen(qemu);
        qemu.Referee.Continue();
        if (!atBoot)
            Tell(qemu, how);
        var alarm = Next(source, GuestAlarmKind.Panicked);
        Assert.True(alarm.WantsDump);
        Assert.Equal(GuestStanding.Stands, alarm.Standing);
        Assert.Null(alarm.Bugcheck);
        Assert.InRange(DateTimeOffset.UtcNow - alarm.At, TimeSpan.FromSeconds(-1), s_patience);
        Assert.Equal("guest-panicked", qemu.Referee.QueryState(CancellationToken.None).Status);
        using (source.Lend(alarm.Target!, CancellationToken.None))
        using (var view = LiveCapture.Take(alarm.Target!, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None))
        {
            var magic = new byte[4];
            Assert.Equal(4, view.Memory.Read(new(0x200000), magic));
            Assert.Equal(0x1BADB002u, BitConverter.ToUInt32(magic));
        }
        Assert.Equal(CrashAction.Destroy, alarm.Hold!.Action);
        Assert.False(qemu.HasExited);
        Assert.Contains("ended", alarm.Hold.Apply(null, CancellationToken.None), StringComparison.Ordinal);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
        Next(source, GuestAlarmKind.Gone);
    }

    [Fact]
    public void What_QEMU_does_by_itself_is_put_back()
    {
        using var qemu = Start(AlarmGuest.Nothing, [.. s_plain, .. s_isa]);
        Listen(qemu).Dispose();
        qemu.Referee.Continue();
        Tell(qemu, AlarmGuest.IsaPanic);
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
    }

    [Fact]
    public void A_hold_that_nobody_applies_ends_with_the_source()
    {
        using var qemu = Start(AlarmGuest.IsaPanic, [.. s_plain, .. s_isa]);
        using (var source = Listen(qemu))
        {
            qemu.Referee.Continue();
            Next(source, GuestAlarmKind.Panicked);
            Assert.False(qemu.HasExited);
        }
        TestQemu.WaitFor(() => qemu.HasExited, "QEMU's end");
    }

    [Fact]
    public void A_guest_that_is_to_stand_is_nobodys_to_end()
    {
        using var qemu = Start(AlarmGuest.IsaPanic, ["-action", "panic=pause", .. s_isa]);
        qemu.Referee.Continue();
        TestQemu.WaitFor(() => qemu.Referee.QueryState(CancellationToken.None).Status == "guest-panicked", "the panic");
        using (var source = Listen(qemu))
        {
            var alarm = Next(source, GuestAlarmKind.Panicked);
            Assert.Null(alarm.Hold);
            Assert.True(alarm.WantsDump);
            Assert.Null(source.Next(TimeSpan.FromMilliseconds(200), CancellationToken.None));
        }
        Assert.Equal("guest-panicked", qemu.Referee.QueryState(CancellationToken.None).Status);
    }

    [Fact]
    public void A_guest_that_runs_on_after_its_panic_does_so()
    {
        using var qemu = Start(AlarmGuest.Nothing, ["-action", "panic=none", .. s_isa]);
        using var source = Listen(qemu);
        qemu.Referee.Continue();
        Tell(qemu, AlarmGuest.CrashLoaded);
        Assert.False(Next(source, GuestAlarmKind.CrashLoaded).WantsDump);
        Tell(qemu, AlarmGuest.IsaPanic);
        var alarm = Next(source, GuestAlarmKind.Panicked);
        Assert.Equal(GuestStanding.Runs, alarm.Standing);
        Assert.Null(alarm.Hold);
        Assert.True(qemu.IsRunning);
    }

    [Theory]
    [InlineData("pause", GuestStanding.Stands, true)]
    [InlineData("none", GuestStanding.Runs, true)]
    [InlineData("reset", GuestStanding.Resets, false)]
    public void A_watchdog_that_runs_out_is_heard(string action, GuestStanding standing, bool wantsDump)
    {
        using var qemu = Start(AlarmGuest.Nothing, "-device", "ib700", "-action", $"watchdog={action}");
        using var source = Listen(qemu);
        qemu.Referee.Continue();
        Tell(qemu, AlarmGuest.Watchdog);
        var alarm = Next(source, GuestAlarmKind.Watchdog);
        Assert.Equal((action, standing, wantsDump), (alarm.WatchdogAction, alarm.Standing, alarm.WantsDump));
    }

    [Fact]
    public void A_guest_that_is_killed_is_gone_and_one_that_is_shut_down_has_stopped()
    {
        using (var qemu = Start(AlarmGuest.Nothing))
        {
            using var source = Listen(qemu, new AlarmOptions { ReconnectFor = TimeSpan.Zero });
            qemu.Kill();
            Assert.False(Next(source, GuestAlarmKind.Gone).WantsDump);
            Assert.Null(source.Next(s_patience, CancellationToken.None));
            Assert.True(source.IsOver);
            Assert.Contains(source.Remarks, r => r.Contains("given up", StringComparison.Ordinal));
        }
        using (var qemu = Start(AlarmGuest.Nothing))
        {
            using var source = Listen(qemu, new AlarmOptions { ReconnectFor = TimeSpan.Zero });
            qemu.Referee.Qmp("quit", null, CancellationToken.None);
            Next(source, GuestAlarmKind.Stopped);
        }
    }

    [Fact]
    public void An_agent_that_answered_and_then_does_not_is_told_of_once_and_its_return_too()
    {
        const string Agent = "/usr/sbin/qemu-ga";
        if (!File.Exists(Agent))
            Assert.Skip($"{Agent} is not installed");
        using var qemu = Start(AlarmGuest.Nothing);
        var socket = Path.Combine(qemu.Folder, "ga");
        using var agent = Process.Start(new ProcessStartInfo(Agent, ["-m", "unix-listen", "-p", socket, "-t", qemu.Folder, "-f", Path.Combine(qemu.Folder, "pid"), "-l", Path.Combine(qemu.Folder, "log")]))!;
        try
        {
            TestQemu.WaitFor(() => File.Exists(socket), "the agent's socket");
            var options = new AlarmOptions { AgentSocket = socket, AgentInterval = TimeSpan.FromMilliseconds(100), AgentMisses = 2, AgentPatience = TimeSpan.FromMilliseconds(400) };
            using var source = Listen(qemu, options);
            var quiet = TimeSpan.FromSeconds(2);
            // A guest that stands is asked for nothing, one whose agent answers is not told of, one that was stopped has a right to be silent.
            qemu.Referee.Continue();
            Assert.Null(source.Next(quiet, CancellationToken.None));
            qemu.Referee.Stop(CancellationToken.None);
            WatchdogTests.Signal(agent.Id, SigStop);
            Assert.Null(source.Next(quiet, CancellationToken.None));
            qemu.Referee.Continue();
            var alarm = Next(source, GuestAlarmKind.AgentSilent);
            Assert.True(alarm.WantsDump);
            Assert.Null(source.Next(quiet, CancellationToken.None));
            WatchdogTests.Signal(agent.Id, SigCont);
            Next(source, GuestAlarmKind.AgentBack);
        }
        finally
        {
            agent.Kill();
            agent.WaitForExit();
        }
    }

    private const int SigStop = 19;
    private const int SigCont = 18;
}
