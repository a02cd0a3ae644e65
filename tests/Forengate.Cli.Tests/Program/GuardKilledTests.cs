using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>forengate guard</c> of a QEMU without libvirt, killed (-9): the guest's panics are QEMU's own again, by the guard's keeper.</summary>
public sealed class GuardKilledTests : IDisposable
{
    /// <summary>The dump may be over before the test has a hand on it.</summary>
    private const int Attempts = 12;

    private const string Crashed = "guest-panicked";

    private readonly string _folder = TwinFolders.New();
    private TwinGuest? _twin;

    public void Dispose() => _twin?.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_panic_after_the_kill_ends_QEMU_as_its_command_line_asks(bool withKeeper)
    {
        StartGuest(128);
        using var guard = Guard();
        if (!withKeeper)
        {
            guard.KillKeeper();
            Assert.Contains("has ended, so a guard that is killed (kill -9) leaves QEMU's action on a panic at pause", guard.Await("heard").GetProperty("text").GetString()!, StringComparison.Ordinal);
        }
        Assert.Equal(withKeeper, guard.Keeper is not null);
        guard.Send(RunningGuard.Kill);
        var outcome = guard.End();
        Assert.Null(guard.Keeper);
        if (!withKeeper)
        {
            Assert.Empty(outcome.Errors);
            Panic();
            Await(() => _twin!.State == Crashed, "the panic");
            return;
        }
        Assert.Equal($"forengate: watchdog: its guard has ended: {_twin!.Target}: put its panic action back to shutdown", outcome.Reason);
        Assert.Equal("running", _twin.State);
        Panic();
        Await(() => !_twin.Machine.IsRunning, "QEMU's end");
    }

    [Fact]
    public void Killed_in_the_middle_of_a_dump_the_guest_stands_and_its_next_panic_is_its_own()
    {
        for (var attempt = 1; ; attempt++)
        {
            Assert.True(attempt <= Attempts, "each dump was over before its guard could be killed");
            StartGuest(512);
            using var guard = Guard();
            if (guard.FreezeInDump(_folder, Panic) is null)
            {
                // The guard has ended QEMU, as that asks for.
                guard.Send(RunningGuard.Terminate);
                guard.End();
                continue;
            }
            guard.Send(RunningGuard.Kill);
            var outcome = guard.End();
            Assert.Null(guard.Keeper);
            Assert.Contains($"{_twin!.Target}: put its panic action back to shutdown; the guest has crashed and stands still", outcome.Errors, StringComparison.Ordinal);
            Assert.Equal(Crashed, _twin.State);
            _twin.Machine.Qmp("system_reset");
            Await(() => _twin.State != Crashed, "the reset");
            _twin.Machine.Qmp("cont");
            Await(
                () =>
                {
                    try
                    {
                        _twin.Machine.Ping();
                        return true;
                    }
                    catch (MachineException)
                    {
                        // Its firmware and its own start take a moment.
                        return false;
                    }
                },
                "the guest to answer");
            Panic();
            Await(() => !_twin.Machine.IsRunning, "QEMU's end");
            return;
        }
    }

    private void StartGuest(int mebibytes)
    {
        _twin?.Dispose();
        // Twins end when they are reset; this one is to run again.
        _twin = TwinGuest.Start(
            TwinImages.Get("--build", "19041", "--memory", $"{mebibytes}", "--cpus", "1", "--bugcheck", "1E,1,2,3,4", "--panic", "command"),
            new MachineOptions { PanicIsa = true, ExtraArguments = ["-action", "reboot=reset"] });
    }

    private RunningGuard Guard() => RunningGuard.Start([], [_twin!.Target, "--to", _folder, "--reserve", "0"]);

    private void Panic() => _twin!.Machine.Panic(PanicWay.Isa);

    private static void Await(Func<bool> condition, string what)
    {
        for (var until = Environment.TickCount64 + 60_000; !condition(); Thread.Sleep(50))
            Assert.True(Environment.TickCount64 < until, $"waited in vain for {what}");
    }
}
