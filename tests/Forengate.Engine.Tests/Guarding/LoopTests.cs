using System.Collections.Concurrent;
using System.Security.Cryptography;
using Forengate.Guests;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>The loop with a source and dumps that the test holds in its hands.</summary>
public sealed class LoopTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    private readonly string _folder = Directory.CreateTempSubdirectory("forengate-guard-").FullName;
    private readonly ConcurrentQueue<GuardEvent> _journal = new();
    private readonly CancellationTokenSource _stop = new(), _abort = new();
    private readonly ToldAlarms _source = new();
    private readonly StandingClock _clock = new();
    private readonly List<string> _applied = [];

    public void Dispose()
    {
        _stop.Dispose();
        _abort.Dispose();
        _source.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task A_crash_is_dumped_then_its_action_done_then_told_with_the_hash()
    {
        var dumper = new FewBytes(_folder);
        var guarding = Start(dumper, new GuardOptions { Folder = _folder });
        _source.Tell(ToldAlarms.Crash("win/10", Hold("destroyed")));
        await Until(() => Of(GuardEventKind.Dumped).Length == 1);
        _stop.Cancel();
        var summary = await guarding;
        var told = Assert.Single(Of(GuardEventKind.Dumped));
        Assert.Equal("destroyed", told.Action);
        Assert.Equal(["destroyed after 1 files"], _applied);
        Assert.Equal("win%2F10_20261121T135958.000Z_panic_D1.dmp", Path.GetFileName(told.File));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(told.File!))), told.Sha256);
        Assert.Equal((1, 0, 0), (summary.Dumped, summary.Failed, summary.Declined));
        Assert.False(summary.IsLost);
    }

    [Fact]
    public async Task A_crash_loop_is_suppressed_and_counted_and_each_guest_is_let_go_all_the_same()
    {
        var guarding = Start(new FewBytes(_folder), new GuardOptions { Folder = _folder, AtMost = new DumpRate(1, TimeSpan.FromHours(1)) });
        for (var i = 1; i <= 3; i++)
        {
            _source.Tell(ToldAlarms.Crash("a", Hold("restarted")));
            var count = i;
            await Until(() => Of(GuardEventKind.Dumped).Length + Of(GuardEventKind.Suppressed).Length == count);
        }
        _clock.Move(TimeSpan.FromHours(1));
        _source.Tell(ToldAlarms.Crash("a", Hold("restarted")));
        await Until(() => Of(GuardEventKind.Dumped).Length == 2);
        _stop.Cancel();
        var summary = await guarding;
        Assert.Equal(4, _applied.Count);
        Assert.Equal([1, 2], Of(GuardEventKind.Suppressed).Select(line => line.Suppressed!.Value));
        Assert.Equal([null, 2L], Of(GuardEventKind.Dumped).Select(line => line.Suppressed));
        Assert.Equal(2, summary.Suppressed);
    }

    [Fact]
    public async Task Two_tellings_of_one_crash_are_one_dump_and_both_holds_wait_for_it()
    {
        using var gate = new ManualResetEventSlim();
        var dumper = new FewBytes(_folder) { Gate = gate };
        var guarding = Start(dumper, new GuardOptions { Folder = _folder });
        _source.Tell(ToldAlarms.Crash("a", kind: GuestAlarmKind.CrashLoaded, standing: GuestStanding.Runs));
        await Until(() => dumper.Orders.Count == 1);
        _source.Tell(ToldAlarms.Crash("a", Hold("first")));
        _source.Tell(ToldAlarms.Crash("a", Hold("second")));
        await Until(() => Of(GuardEventKind.Heard).Length == 2);
        Assert.Empty(_applied);
        gate.Set();
        await Until(() => Of(GuardEventKind.Dumped).Length == 1);
        // What comes after it was let go is another crash.
        _source.Tell(ToldAlarms.Crash("a", Hold("third")));
        await Until(() => Of(GuardEventKind.Dumped).Length == 2);
        _stop.Cancel();
        await guarding;
        Assert.Equal(["first after 1 files", "second after 1 files", "third after 2 files"], _applied);
        Assert.Equal(2, dumper.Orders.Count);
    }

    [Fact]
    public async Task A_crash_while_a_hang_is_dumped_has_a_dump_of_its_own()
    {
        using var gate = new ManualResetEventSlim();
        var dumper = new FewBytes(_folder) { Gate = gate };
        var guarding = Start(dumper, new GuardOptions { Folder = _folder });
        _source.Tell(ToldAlarms.Crash("a", kind: GuestAlarmKind.AgentSilent, standing: GuestStanding.Runs));
        await Until(() => dumper.Orders.Count == 1);
        _source.Tell(ToldAlarms.Crash("a", kind: GuestAlarmKind.Watchdog, watchdog: "pause"));
        _source.Tell(ToldAlarms.Crash("a", Hold("destroyed")));
        await Until(() => Of(GuardEventKind.Heard).Length == 1);
        gate.Set();
        await Until(() => Of(GuardEventKind.Dumped).Length == 2);
        _stop.Cancel();
        await guarding;
        Assert.Equal(["silence", "panic"], dumper.Orders.Select(order => order.Why));
        Assert.Equal(["destroyed after 2 files"], _applied);
        Assert.Equal(1, dumper.MostAtOnce);
    }

    [Fact]
    public async Task Many_guests_at_once_are_dumped_so_many_at_a_time()
    {
        using var gate = new ManualResetEventSlim();
        var dumper = new FewBytes(_folder) { Gate = gate };
        var guarding = Start(dumper, new GuardOptions { Folder = _folder, Parallel = 3 });
        for (var i = 0; i < 9; i++)
            _source.Tell(ToldAlarms.Crash($"guest{i}", Hold("gone")));
        await Until(() => dumper.Orders.Count == 3);
        await Task.Delay(100, TestContext.Current.CancellationToken);
        Assert.Equal(3, dumper.Orders.Count);
        gate.Set();
        await Until(() => Of(GuardEventKind.Dumped).Length == 9);
        _stop.Cancel();
        await guarding;
        Assert.Equal(3, dumper.MostAtOnce);
        Assert.Equal(9, _applied.Count);
    }

    [Fact]
    public async Task A_stop_finishes_what_is_under_way_and_begins_nothing_more()
    {
        using var gate = new ManualResetEventSlim();
        var dumper = new FewBytes(_folder) { Gate = gate };
        var guarding = Start(dumper, new GuardOptions { Folder = _folder, Parallel = 1 });
        _source.Tell(ToldAlarms.Crash("a", Hold("a")));
        await Until(() => dumper.Orders.Count == 1);
        _source.Tell(ToldAlarms.Crash("b", Hold("b")));
        await Task.Delay(100, TestContext.Current.CancellationToken);
        _stop.Cancel();
        await Until(() => Of(GuardEventKind.Declined).Length == 1);
        Assert.False(guarding.IsCompleted);
        gate.Set();
        var summary = await guarding;
        Assert.Equal((1, 1), (summary.Dumped, summary.Declined));
        Assert.Equal(["b after 0 files", "a after 1 files"], _applied);
    }

    [Fact]
    public async Task A_second_stop_cancels_the_dump_and_the_guest_is_let_go()
    {
        using var gate = new ManualResetEventSlim();
        var dumper = new FewBytes(_folder) { Gate = gate };
        var guarding = Start(dumper, new GuardOptions { Folder = _folder });
        _source.Tell(ToldAlarms.Crash("a", Hold("a")));
        await Until(() => dumper.Orders.Count == 1);
        _stop.Cancel();
        _abort.Cancel();
        await guarding;
        Assert.Equal(["a after 0 files"], _applied);
        Assert.Contains("cancelled", Assert.Single(Of(GuardEventKind.Failed)).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_fails_is_told_and_the_guest_let_go_and_the_next_one_dumped()
    {
        var failures = new Queue<Exception>([new NoRoomException("too little room"), new InvalidOperationException("a fault of ours"), new IOException("the disk is gone")]);
        var guarding = Start(new FewBytes(_folder) { Failure = _ => failures.TryDequeue(out var one) ? one : null }, new GuardOptions { Folder = _folder, AtMost = null });
        foreach (var name in (string[])["a", "b", "c", "d"])
        {
            _source.Tell(ToldAlarms.Crash("guest", Hold(name)));
            await Until(() => _applied.Count > 0 && _applied[^1].StartsWith(name, StringComparison.Ordinal) && _journal.Any(line => line.Action == name));
        }
        _stop.Cancel();
        var summary = await guarding;
        Assert.Equal((1, 2, 1), (summary.Dumped, summary.Failed, summary.Declined));
        Assert.Contains("too little room", Assert.Single(Of(GuardEventKind.Declined)).Text, StringComparison.Ordinal);
        Assert.Equal(4, _applied.Count);
    }

    [Fact]
    public async Task What_nobody_asked_for_is_only_noted_and_not_held()
    {
        var dumper = new FewBytes(_folder);
        var guarding = Start(dumper, new GuardOptions { Folder = _folder, Triggers = GuardTriggers.Watchdog });
        _source.Tell(ToldAlarms.Crash("a", Hold("a")));
        _source.Tell(ToldAlarms.Crash("b", kind: GuestAlarmKind.Gone, standing: GuestStanding.Ends));
        _source.Tell(ToldAlarms.Crash("c", kind: GuestAlarmKind.Watchdog, standing: GuestStanding.Runs, watchdog: "reset"));
        await Until(() => Of(GuardEventKind.Declined).Length == 1 && _applied.Count == 1);
        _stop.Cancel();
        await guarding;
        Assert.Empty(dumper.Orders);
        Assert.Contains("action='pause'", Of(GuardEventKind.Declined)[0].Text, StringComparison.Ordinal);
        Assert.Equal(2, Of(GuardEventKind.Heard).Length);
    }

    [Fact]
    public async Task Once_ends_with_the_first_dump_and_a_source_that_is_over_ends_it_too()
    {
        var guarding = Start(new FewBytes(_folder), new GuardOptions { Folder = _folder, Once = true });
        _source.Tell(ToldAlarms.Crash("a", Hold("a")));
        var summary = await guarding.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal((1, false), (summary.Dumped, summary.IsLost));
        var second = Start(new FewBytes(_folder), new GuardOptions { Folder = _folder });
        _source.End();
        Assert.True((await second.WaitAsync(s_patience, TestContext.Current.CancellationToken)).IsLost);
    }

    [Fact]
    public async Task Old_dumps_of_the_guest_go_and_others_stay()
    {
        var other = Path.Combine(_folder, "a_20200101T000000.000Z_panic_D1.dmp");
        File.WriteAllBytes(other, new byte[0x2000]);
        var guarding = Start(new FewBytes(_folder), new GuardOptions { Folder = _folder, Keep = 2, AtMost = null });
        for (var i = 1; i <= 4; i++)
        {
            var count = i;
            _source.Tell(ToldAlarms.Crash("a") with { At = _clock.GetUtcNow().AddMinutes(i) });
            await Until(() => Of(GuardEventKind.Dumped).Length == count && Of(GuardEventKind.Removed).Length == Math.Max(0, count - 2));
        }
        _stop.Cancel();
        await guarding;
        Assert.True(File.Exists(other));
        var dumped = Of(GuardEventKind.Dumped).Select(line => line.File!).ToArray();
        Assert.Equal(dumped[..2], Of(GuardEventKind.Removed).Select(line => line.File!));
        Assert.Equal(3, Directory.GetFiles(_folder).Length);
    }

    [Fact]
    public async Task A_command_follows_with_the_facts_and_its_end_is_told()
    {
        string[] commands = ["/bin/sh -c 'echo \"$FORENGATE_GUEST $FORENGATE_BUGCHECK $FORENGATE_WHY\"; test -s \"$FORENGATE_FILE\"; exit 7'", "/bin/sleep 60", "/nowhere/at/all"];
        foreach (var command in commands)
        {
            using var stop = new CancellationTokenSource();
            _source.Tell(ToldAlarms.Crash("a b"));
            var guarding = Start(
                new FewBytes(_folder), new GuardOptions { Folder = _folder, Once = true, Run = new FollowUp(FollowUp.Split(command)!, TimeSpan.FromSeconds(2)) });
            await guarding.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        }
        var ends = Of(GuardEventKind.Failed);
        Assert.Equal(commands.Length, ends.Length);
        Assert.Equal(7, ends[0].ExitCode);
        Assert.Equal("libvirt:a b 0xD1 panic", Assert.Single(ends[0].Lines));
        Assert.Contains("longer than 2s", ends[1].Text, StringComparison.Ordinal);
        Assert.Contains("could not be run", ends[2].Text, StringComparison.Ordinal);
    }

    private Task<GuardSummary> Start(FewBytes dumper, GuardOptions options)
    {
        var journal = new GuardJournal(_journal.Enqueue, _clock);
        var work = new GuardWork(options, dumper, new RateLimiter(options.AtMost, _clock), journal);
        return Task.Run(() =>
        {
            using var loop = new GuardLoop(options, _source, work, _ => null, journal);
            return loop.Run(_stop.Token, _abort.Token);
        });
    }

    private CrashHold Hold(string name) => new(CrashAction.Destroy, (_, _) =>
    {
        lock (_applied)
            _applied.Add($"{name} after {Directory.GetFiles(_folder, "*.dmp").Length} files");
        return name;
    });

    private GuardEvent[] Of(GuardEventKind kind) => [.. _journal.Where(line => line.Kind == kind)];

    private static async Task Until(Func<bool> condition)
    {
        var deadline = Environment.TickCount64 + s_patience.TotalMilliseconds;
        while (!condition())
        {
            Assert.True(Environment.TickCount64 < deadline, "did not happen in time");
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }
}
