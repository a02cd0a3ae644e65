using System.Diagnostics;

namespace Forengate.Guests.Tests;

/// <summary>The watchdog ends who hangs, and not who only waits for a processor.</summary>
public sealed class StarvationTests
{
    private const long Patience = 1000;
    private const int Stop = 19;

    [Fact]
    public void Who_wants_to_run_is_excused_for_four_times_the_patience()
    {
        using var process = new Child("while :; do :; done");
        var starvation = new Starvation(process.Id, Patience);
        TestQemu.WaitFor(() => starvation.Excuses(0), "the shell to spin");
        Assert.True(starvation.Excuses(4 * Patience));
        Assert.False(starvation.Excuses((4 * Patience) + 1));
        starvation.Heard();
        Assert.True(starvation.Excuses((4 * Patience) + 1));
    }

    [Fact]
    public void Who_sleeps_is_looked_at_three_times()
    {
        using var process = new Child("exec sleep 600");
        TestQemu.WaitFor(() => File.ReadAllText($"/proc/{process.Id}/stat").Contains(") S ", StringComparison.Ordinal), "the process to sleep");
        var starvation = new Starvation(process.Id, Patience);
        Assert.Equal([true, true, false], [starvation.Excuses(0), starvation.Excuses(100), starvation.Excuses(200)]);
    }

    [Fact]
    public void Who_is_stopped_or_gone_is_not_excused()
    {
        using var process = new Child("while :; do :; done");
        Assert.Equal(0, LinuxNative.Kill(process.Id, Stop));
        TestQemu.WaitFor(() => File.ReadAllText($"/proc/{process.Id}/stat").Contains(") T ", StringComparison.Ordinal), "the process to stop");
        Assert.False(new Starvation(process.Id, Patience).Excuses(0));
        process.Dispose();
        Assert.False(new Starvation(process.Id, Patience).Excuses(0));
    }

    private sealed class Child : IDisposable
    {
        private readonly Process _process;
        private bool _ended;

        public Child(string command)
        {
            _process = Process.Start("/bin/sh", ["-c", command]);
            Id = _process.Id;
        }

        public int Id { get; }

        public void Dispose()
        {
            if (_ended)
                return;
            _ended = true;
            _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }
    }
}
