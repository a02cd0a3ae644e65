namespace Forengate.Guests.Tests;

/// <summary>Events that no machine here can raise, from a server that speaks by QEMU's schema; and what holds for any source.</summary>
public sealed class AlarmReplayTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private static string Event(string name, string data) => $$"""{"timestamp": {"seconds": 1700000000, "microseconds": 250000}, "event": "{{name}}", "data": {{data}}}""";

    private static string Panic(string action, string info) => Event("GUEST_PANICKED", $$"""{"action": "{{action}}", "info": {{info}}}""");

    private static IAlarmSource Listen(ReplayedQmp qmp, AlarmOptions? options = null, string? capture = null) =>
        AlarmSources.ForQmp(qmp.Path, options ?? new AlarmOptions(), capture, CancellationToken.None);

    private static GuestAlarm Next(IAlarmSource source)
    {
        var alarm = source.Next(s_patience, CancellationToken.None);
        Assert.NotNull(alarm);
        return alarm;
    }

    [Theory]
    [InlineData("""{"type": "hyper-v", "arg1": 209, "arg2": 18446735277616533504, "arg3": 2, "arg4": 0, "arg5": 18446735290600087604}""", 0xD1u, 0xFFFFF80000001000, 2ul, 0ul, 0xFFFFF80305E16034)]
    [InlineData("""{"type": "hyper-v", "arg1": 30, "arg2": -1073741819, "arg3": -8796093018112, "arg4": 0, "arg5": 1}""", 0x1Eu, 0xFFFFFFFFC0000005, 0xFFFFF80000001000, 0ul, 1ul)]
    public void The_crash_registers_are_the_bugcheck(string info, uint code, ulong p1, ulong p2, ulong p3, ulong p4)
    {
        using var qmp = new ReplayedQmp();
        using var source = Listen(qmp);
        qmp.Say(Panic("pause", info));
        var alarm = Next(source);
        Assert.Equal(GuestAlarmKind.Panicked, alarm.Kind);
        Assert.Equal((code, p1, p2, p3, p4), (alarm.Bugcheck!.StopCode, alarm.Bugcheck.Parameter1, alarm.Bugcheck.Parameter2, alarm.Bugcheck.Parameter3, alarm.Bugcheck.Parameter4));
        Assert.Equal(DateTimeOffset.FromUnixTimeMilliseconds(1700000000250), alarm.At);
        Assert.Contains($"0x{code:X}", alarm.Text, StringComparison.Ordinal);
        Assert.NotNull(alarm.Hold);
    }

    [Theory]
    [InlineData("""{"type": "hyper-v", "arg1": 209}""")]
    [InlineData("""{"type": "hyper-v", "arg1": "d1", "arg2": 1, "arg3": 1, "arg4": 1, "arg5": 1}""")]
    [InlineData("""{"type": "hyper-v", "arg1": 1e400, "arg2": 1, "arg3": 1, "arg4": 1, "arg5": 1}""")]
    [InlineData("""{"type": "s390", "core": 0, "psw-mask": 1, "psw-addr": 2, "reason": "disabled-wait"}""")]
    [InlineData("[]")]
    [InlineData("null")]
    public void Info_that_is_none_costs_the_bugcheck_and_not_the_alarm(string info)
    {
        using var qmp = new ReplayedQmp();
        using var source = Listen(qmp);
        qmp.Say("this is no JSON");
        qmp.Say("[1, 2]");
        qmp.Say("""{"event": 7}""");
        qmp.Say(Panic("pause", info));
        var alarm = Next(source);
        Assert.Equal(GuestAlarmKind.Panicked, alarm.Kind);
        Assert.Null(alarm.Bugcheck);
    }

    [Fact]
    public void One_crash_is_one_alarm_until_the_guest_boots_again()
    {
        using var qmp = new ReplayedQmp();
        using var source = Listen(qmp, capture: "/elsewhere");
        qmp.Say(Panic("pause", """{"type": "hyper-v", "arg1": 1, "arg2": 2, "arg3": 3, "arg4": 4, "arg5": 5}"""));
        qmp.Say(Panic("pause", "{}"));
        qmp.Say(Event("RESET", """{"guest": false, "reason": "host-qmp-system-reset"}"""));
        qmp.Say(Panic("poweroff", "{}"));
        var first = Next(source);
        Assert.Equal(1u, first.Bugcheck!.StopCode);
        Assert.Equal(new GuestTarget(GuestTargetKind.Qmp, "/elsewhere"), first.Target);
        var second = Next(source);
        Assert.Equal((GuestAlarmKind.Panicked, GuestStanding.Ends), (second.Kind, second.Standing));
        Assert.False(second.WantsDump);
        Assert.Null(second.Hold);
        Assert.Null(source.Next(TimeSpan.FromMilliseconds(100), CancellationToken.None));
    }

    [Fact]
    public void A_guest_that_somebody_saved_meanwhile_is_not_ended()
    {
        using var qmp = new ReplayedQmp();
        using var source = Listen(qmp);
        qmp.Say(Panic("pause", "{}"));
        var hold = Next(source).Hold!;
        // Reset and continued; the events of it are still on their way.
        qmp.Status = "running";
        Assert.Contains("left alone", hold.Apply(null, CancellationToken.None), StringComparison.Ordinal);
        Assert.DoesNotContain("quit", qmp.Commands);
        Assert.True(hold.IsApplied);
    }

    [Fact]
    public void A_lost_way_is_found_again_and_the_panic_behind_it()
    {
        using var qmp = new ReplayedQmp();
        using var source = Listen(qmp);
        qmp.Status = "guest-panicked";
        qmp.HangUp();
        Assert.Equal(GuestAlarmKind.Gone, Next(source).Kind);
        Assert.Equal(GuestAlarmKind.Started, Next(source).Kind);
        var alarm = Next(source);
        Assert.Equal((GuestAlarmKind.Panicked, GuestStanding.Stands), (alarm.Kind, alarm.Standing));
        Assert.Null(alarm.Hold);
    }

    [Fact]
    public void A_loan_frees_the_socket_and_what_happens_meanwhile_is_told()
    {
        using var qmp = new ReplayedQmp();
        using var source = Listen(qmp);
        var target = Assert.Single(source.Guests);
        using (source.Lend(target, CancellationToken.None))
        {
            using var other = QmpMonitor.Open(qmp.Path, CancellationToken.None);
            qmp.Status = "guest-panicked";
            Assert.Null(source.Next(TimeSpan.FromMilliseconds(300), CancellationToken.None));
        }
        var alarm = Next(source);
        Assert.Equal(GuestAlarmKind.Panicked, alarm.Kind);
        // We had asked for it to stand, so it is ours to end.
        Assert.NotNull(alarm.Hold);
        Assert.DoesNotContain(source.Remarks, r => r.Contains("given up", StringComparison.Ordinal));
    }

    [Fact]
    public void Waiting_ends_when_it_is_cancelled_and_loses_nothing()
    {
        using var qmp = new ReplayedQmp();
        using var source = Listen(qmp);
        using (var cancelled = new CancellationTokenSource(100))
            Assert.ThrowsAny<OperationCanceledException>(() => source.Next(Timeout.InfiniteTimeSpan, cancelled.Token));
        qmp.Say(Panic("run", "{}"));
        Assert.Equal(GuestStanding.Runs, Next(source).Standing);
    }

    [Fact]
    public void Several_sources_are_one()
    {
        using var first = new ReplayedQmp();
        using var second = new ReplayedQmp();
        using var both = AlarmSources.Join([Listen(first), Listen(second)]);
        Assert.Equal(2, both.Guests.Count);
        second.Say(Panic("run", "{}"));
        Assert.Equal($"qmp:{second.Path}", Next(both).Target!.ToString());
        first.Say(Panic("run", "{}"));
        Assert.Equal($"qmp:{first.Path}", Next(both).Target!.ToString());
    }

    [Fact]
    public void A_queue_that_nobody_empties_forgets_the_oldest_but_no_guest_that_waits()
    {
        var queue = new AlarmQueue();
        var hold = new CrashHold(CrashAction.Destroy, (_, _) => "");
        GuestAlarm Make(int number, CrashHold? held) =>
            new() { Target = null, Kind = GuestAlarmKind.Started, At = DateTimeOffset.UnixEpoch.AddSeconds(number), Text = "", Hold = held };
        for (var i = 0; i < 5000; i++)
            queue.Add(Make(i, i == 1 ? hold : null));
        Assert.Same(hold, queue.Next(TimeSpan.Zero, CancellationToken.None)!.Hold);
        Assert.Equal(905, queue.Next(TimeSpan.Zero, CancellationToken.None)!.At.ToUnixTimeSeconds());
        Assert.Single(queue.Remarks);
    }

    [Fact]
    public void A_hold_is_applied_once_and_a_failure_may_be_tried_again()
    {
        var tries = 0;
        var hold = new CrashHold(CrashAction.Restart, (_, _) => ++tries == 1 ? throw new GuestException("no") : "done");
        Assert.Throws<GuestException>(() => hold.Apply(null, CancellationToken.None));
        Assert.False(hold.IsApplied);
        Assert.Equal("done", hold.Apply(null, CancellationToken.None));
        Assert.Equal("done", hold.Apply(null, CancellationToken.None));
        Assert.Equal(2, tries);
    }

    [Fact]
    public void Only_an_agent_that_has_answered_falls_silent()
    {
        var watch = new AgentWatch(2);
        Assert.Null(watch.Note(AgentAnswer.Silent));
        Assert.Null(watch.Note(AgentAnswer.Silent));
        Assert.Null(watch.Note(AgentAnswer.Answered));
        Assert.Null(watch.Note(AgentAnswer.Silent));
        Assert.Null(watch.Note(AgentAnswer.NotAsked));
        Assert.Equal(GuestAlarmKind.AgentSilent, watch.Note(AgentAnswer.Silent));
        Assert.Null(watch.Note(AgentAnswer.Silent));
        Assert.Equal(GuestAlarmKind.AgentBack, watch.Note(AgentAnswer.Answered));
        watch.Forget();
        Assert.Null(watch.Note(AgentAnswer.Silent));
        Assert.Null(watch.Note(AgentAnswer.Silent));
    }

    [Theory]
    [InlineData("qemu-system-x86_64", "shutdown", false)]
    [InlineData("qemu-system-x86_64 -no-shutdown", "shutdown", true)]
    [InlineData("qemu-system-x86_64 --no-shutdown -action shutdown=poweroff", "shutdown", false)]
    [InlineData("qemu-system-x86_64 -action shutdown=poweroff -no-shutdown", "shutdown", false)]
    [InlineData("qemu-system-x86_64 -action panic=pause,watchdog=none", "pause", true)]
    [InlineData("qemu-system-x86_64 -action panic=none -no-shutdown", "none", false)]
    [InlineData("qemu-system-x86_64 -action", "shutdown", false)]
    public void What_QEMU_does_on_a_panic_is_read_off_its_command_line(string line, string action, bool pauses) =>
        Assert.Equal(new QmpPanicSetting(action, pauses), QmpPanicSetting.Read(line.Split(' ')));
}
