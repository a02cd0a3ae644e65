using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Forengate.Dumps;
using Forengate.Engine.Tests.Referees;
using Forengate.Guests;
using Forengate.Lab.Machine;
using Forengate.Testing.Referee;
using Forengate.Testing.Twins;

namespace Forengate.Engine.Tests.Guarding;

/// <summary>Twins heard otherwise than by pvpanic: a real watchdog that runs out, a real agent that falls silent, a panic with Hyper-V's crash registers.</summary>
public sealed partial class HeardTwinTests : IDisposable
{
    private const int CodeAt = 0x38, FirstParameterAt = 0x40;

    private const int SigStop = 19;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    /// <summary>Time for an alarm that must not come.</summary>
    private static readonly TimeSpan s_quiet = TimeSpan.FromSeconds(2);

    private readonly string _folder = TwinFolders.New();
    private readonly ConcurrentQueue<GuardEvent> _journal = new();
    private readonly CancellationTokenSource _stop = new();

    public void Dispose() => _stop.Dispose();

    [Fact]
    public async Task A_watchdog_that_runs_out_is_one_dump_and_the_guest_stays_paused()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "1"), new MachineOptions { Watchdog = "pause" });
        var guarding = Start(new GuardOptions { Folder = _folder, Monitors = [new GuardedMonitor(twin.Machine.QmpSocket)], Triggers = GuardTriggers.Watchdog, Reserve = 0 });
        await Until(() => Of(GuardEventKind.Ready).Length == 1);
        Assert.True(Of(GuardEventKind.Ready)[0].Complete == true, string.Join('\n', Of(GuardEventKind.Ready)[0].Lines));
        // The device's port, with no time at all.
        twin.Machine.Hmp("o /b 0x443 15");
        await Until(() => Of(GuardEventKind.Dumped).Length == 1);
        // The monitor is connected anew after the dump, and finds it standing: that is no second watchdog.
        await Task.Delay(s_quiet, TestContext.Current.CancellationToken);
        Assert.Equal("watchdog", twin.State);
        var told = Judge("watchdog", 0x161);
        Assert.Null(told.Action);
        // Continued by its owner it may run out once more, which is another happening.
        twin.Machine.Qmp("cont");
        twin.Machine.Ping();
        twin.Machine.Hmp("o /b 0x443 15");
        await Until(() => Of(GuardEventKind.Dumped).Length == 2);
        _stop.Cancel();
        var summary = await guarding.WaitAsync(s_patience, TestContext.Current.CancellationToken);
        Assert.Equal((2, 0, 0), (summary.Dumped, summary.Failed, summary.Declined));
        Assert.Equal("watchdog", twin.State);
    }

    [Fact]
    public async Task An_agent_that_falls_silent_is_a_dump_and_the_guest_runs_on()
    {
        const string Agent = "/usr/sbin/qemu-ga";
        if (!File.Exists(Agent))
            Assert.Skip($"{Agent} is not installed");
        var place = TwinFolders.New();
        var (socket, log) = (Path.Combine(place, "ga"), Path.Combine(place, "log"));
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "20348", "--memory", "128"));
        using var agent = Process.Start(new ProcessStartInfo(Agent, ["-v", "-m", "unix-listen", "-p", socket, "-t", place, "-f", Path.Combine(place, "pid"), "-l", log]))!;
        try
        {
            await Until(() => File.Exists(socket));
            var guarding = Start(new GuardOptions
            {
                Folder = _folder, Monitors = [new GuardedMonitor(twin.Machine.QmpSocket, socket)], Triggers = GuardTriggers.Silence, SilentFor = TimeSpan.FromSeconds(10), Once = true, Reserve = 0,
            });
            // Only one that has answered can fall silent.
            await Until(() => File.Exists(log) && File.ReadAllText(log).Contains("sending data", StringComparison.Ordinal));
            await Task.Delay(200, TestContext.Current.CancellationToken);
            Assert.Equal(0, Kill(agent.Id, SigStop));
            var summary = await guarding.WaitAsync(s_patience, TestContext.Current.CancellationToken);
            Assert.Equal((1, 0, 0), (summary.Dumped, summary.Failed, summary.Declined));
        }
        finally
        {
            agent.Kill();
            agent.WaitForExit();
        }
        var told = Judge("silence", 0x161);
        Assert.True(told.StoodStill > TimeSpan.Zero);
        Assert.Null(told.Action);
        Assert.Equal("running", twin.State);
        twin.Machine.Ping();
    }

    /// <summary>Hyper-V crash reports by replayed events: what the twin itself holds differs, so it can't have come from there.</summary>
    [Fact]
    public async Task What_Windows_wrote_into_the_crash_registers_is_in_the_header()
    {
        const string Info = """{"type": "hyper-v", "arg1": 209, "arg2": 18446735277616533504, "arg3": 2, "arg4": 8, "arg5": 18446735290600087604}""";
        ulong[] announced = [0xFFFFF80000001000, 2, 8, 0xFFFFF80305E16034];
        using var twin = TwinGuest.Start(
            TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "1", "--bugcheck", "D1,1,2,3,4", "--panic", "command"), new MachineOptions { PanicIsa = true, Monitors = 3 });
        var path = Path.Combine(TwinFolders.New(), "relay");
        using var relay = new QmpRelay(path, twin.Machine.QmpSockets[1], Info);
        // The socket's peer is the relay, so memory is read by way of QEMU's own.
        using (var source = AlarmSources.ForQmp(path, new AlarmOptions(), twin.Machine.QmpSocket, TestContext.Current.CancellationToken))
        {
            var options = new GuardOptions { Folder = _folder, Triggers = GuardTriggers.Panic, Once = true, Reserve = 0 };
            var journal = new GuardJournal(_journal.Enqueue, TimeProvider.System);
            var dumper = new GuestDumper(options, new DumpRoom(() => ulong.MaxValue, 0), source);
            using var loop = new GuardLoop(options, source, new GuardWork(options, dumper, new RateLimiter(null, TimeProvider.System), journal), _ => null, journal);
            var guarding = Task.Run(() => loop.Run(_stop.Token, CancellationToken.None), TestContext.Current.CancellationToken);
            await Until(() => Of(GuardEventKind.Guarding).Length == 1);
            twin.Machine.Panic(PanicWay.Isa);
            var summary = await guarding.WaitAsync(s_patience, TestContext.Current.CancellationToken);
            Assert.Equal((1, 0, 0), (summary.Dumped, summary.Failed, summary.Declined));
        }
        Assert.Equal(1, relay.Rewritten);
        var told = Judge("panic", 0xD1);
        Assert.StartsWith("Hyper-V crash registers", told.Bugcheck!.Origin, StringComparison.Ordinal);
        using var pages = new DumpPages(told.File!);
        Assert.Equal(0xD1u, BinaryPrimitives.ReadUInt32LittleEndian(pages.Header[CodeAt..]));
        for (var i = 0; i < announced.Length; i++)
            Assert.Equal(announced[i], BinaryPrimitives.ReadUInt64LittleEndian(pages.Header[(FirstParameterAt + (i * sizeof(ulong)))..]));
        await Until(() => !twin.Machine.IsRunning);
    }

    private Task<GuardSummary> Start(GuardOptions options) => Task.Run(() => Guard.Run(options, _journal.Enqueue, _stop.Token, CancellationToken.None));

    /// <summary>The one dump, by our own check and by the debugger engine, where its licence is accepted.</summary>
    private GuardEvent Judge(string why, uint code)
    {
        var told = Assert.Single(Of(GuardEventKind.Dumped));
        Assert.Equal((why, code), (told.Why, told.Bugcheck!.StopCode));
        Assert.True(told.Complete == true, string.Join('\n', told.Lines));
        Assert.EndsWith($"_{why}_{code:X}.dmp", told.File, StringComparison.Ordinal);
        Assert.DoesNotContain(DumpCheck.Of(told.File!, TestContext.Current.CancellationToken).Findings, finding => finding.Severity != CheckSeverity.Note);
        if (DebuggerEngine.Accepted)
        {
            var verdict = DebuggerEngine.Judge(told.File!, ".bugcheck");
            Assert.Empty(verdict.Complaints);
            Assert.Contains($"{code:X}", verdict[".bugcheck"], StringComparison.OrdinalIgnoreCase);
        }
        return told;
    }

    private GuardEvent[] Of(GuardEventKind kind) => [.. _journal.Where(line => line.Kind == kind)];

    private async Task Until(Func<bool> condition)
    {
        var clock = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(clock.Elapsed < s_patience, $"did not happen in time; the journal: {string.Join('\n', _journal.Select(line => $"{line.Kind} {line.Guest} {line.Text}"))}");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
