using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace Forengate.Guests.Tests;

/// <summary>Whatever happens to the process that stopped a guest, the guest runs again.</summary>
public sealed partial class WatchdogTests
{
    private const int SigInt = 2;
    private const int SigKill = 9;
    private const int SigTerm = 15;
    private const int SigCont = 18;
    private const int SigStop = 19;

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int pid, int signal);

    private static TestQemu Guest() => new("-M", "q35", "-m", "96", "-kernel", "IMAGE");

    [Theory]
    [InlineData(SigKill)]
    [InlineData(SigTerm)]
    [InlineData(SigInt)]
    public void A_guest_runs_again_when_who_stopped_it_is_ended(int signal)
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        using var victim = StartVictim(Victim.Verb, qemu.Target.ToString(), "600000");
        Assert.Equal("holding", victim.StandardOutput.ReadLine());
        Assert.False(qemu.IsRunning);
        var watchdogs = ChildrenOf(victim.Id);
        Assert.Single(watchdogs);
        Assert.Equal(0, Kill(victim.Id, signal));
        TestQemu.WaitFor(() => qemu.IsRunning, "the guest to run again");
        Assert.True(victim.WaitForExit(TimeSpan.FromMinutes(1)), "the victim does not end");
        TestQemu.WaitFor(() => !IsAlive(watchdogs[0]), "the watchdog to end");
        // The monitor is free for the next one.
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    [Fact]
    public void A_guest_runs_again_at_the_deadline_when_who_stopped_it_hangs()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        using var victim = StartVictim(Victim.Verb, qemu.Target.ToString(), "1500");
        Assert.Equal("holding", victim.StandardOutput.ReadLine());
        Assert.Equal(0, Kill(victim.Id, SigStop));
        Assert.False(qemu.IsRunning);
        TestQemu.WaitFor(() => qemu.IsRunning, "the watchdog's deadline");
        Assert.Equal(0, Kill(victim.Id, SigCont));
        Assert.Equal(0, Kill(victim.Id, SigInt));
        Assert.True(victim.WaitForExit(TimeSpan.FromMinutes(1)), "who hung does not end");
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void Ctrl_C_in_the_terminal_does_not_reach_the_watchdog()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        using var victim = StartVictim(Victim.Verb, qemu.Target.ToString(), "600000");
        Assert.Equal("holding", victim.StandardOutput.ReadLine());
        var watchdog = Assert.Single(ChildrenOf(victim.Id));
        // Session is field 6 of /proc/PID/stat: a terminal signals its own session's foreground group only.
        Assert.Equal(watchdog.ToString(CultureInfo.InvariantCulture), StatField(watchdog, 6));
        Assert.NotEqual(StatField(victim.Id, 6), StatField(watchdog, 6));
        Signal(watchdog, SigInt);
        Signal(victim.Id, SigKill);
        TestQemu.WaitFor(() => qemu.IsRunning, "the guest to run again");
        Assert.True(victim.WaitForExit(TimeSpan.FromMinutes(1)), "the victim does not end");
    }

    [Fact]
    public void A_watchdog_that_is_terminated_continues_the_guest_and_the_view_says_so()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.HoldStopped), null, CancellationToken.None);
        var watchdog = Assert.Single(ChildrenOf(Environment.ProcessId), p => CommandLine(p).Contains(qemu.Socket, StringComparison.Ordinal) && CommandLine(p).Contains(Watchdog.Verb, StringComparison.Ordinal));
        Signal(watchdog, SigTerm);
        TestQemu.WaitFor(() => qemu.IsRunning, "the guest to run again");
        view.Dispose();
        Assert.Contains(view.Origin.Remarks, r => r.Contains("inconsistent", StringComparison.Ordinal));
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void Without_a_watchdog_nothing_is_stopped()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            qemu.Target, new CaptureOptions { Watchdog = new WatchdogHost("/nonexistent/forengate", []) }, null, CancellationToken.None));
        Assert.Equal(GuestFailure.Watchdog, e.Failure);
        e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            qemu.Target, new CaptureOptions { Watchdog = new WatchdogHost("/bin/true", []) }, null, CancellationToken.None));
        Assert.Equal(GuestFailure.Watchdog, e.Failure);
        Assert.Null(qemu.Referee.LastStopByEvents);
        Assert.True(qemu.IsRunning);
        Assert.Throws<ArgumentException>(() => LiveCapture.Take(qemu.Target, new CaptureOptions(), null, CancellationToken.None));
    }

    [Theory]
    [InlineData()]
    [InlineData("--parent", "x", "--target", "qmp:/nowhere")]
    [InlineData("--parent", "1")]
    public void A_watchdog_started_by_hand_ends_at_once(params string[] arguments) => Assert.Equal(2, Watchdog.RunAsChild(arguments));

    internal static Process StartVictim(params string[] arguments)
    {
        var host = WatchdogHost.ThisProgram();
        var start = new ProcessStartInfo(host.Executable) { RedirectStandardOutput = true };
        foreach (var argument in (string[])[.. host.Arguments, .. arguments])
            start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    internal static void Signal(int pid, int signal) => Assert.Equal(0, Kill(pid, signal));

    internal static List<int> ChildrenOf(int parent)
    {
        var children = new List<int>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), out var id) && StatField(id, 4) == parent.ToString(CultureInfo.InvariantCulture))
                children.Add(id);
        }
        return children;
    }

    internal static bool IsAlive(int pid) => StatField(pid, 3) is not (null or "Z");

    internal static string CommandLine(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/cmdline").Replace('\0', ' ');
        }
        catch (IOException)
        {
            return "";
        }
    }

    /// <summary>Field n of /proc/PID/stat, counted from 1 as proc(5) does; n ≥ 3.</summary>
    private static string? StatField(int pid, int field)
    {
        try
        {
            var line = File.ReadAllText($"/proc/{pid}/stat");
            return line[(line.LastIndexOf(')') + 2)..].Split(' ')[field - 3];
        }
        catch (IOException)
        {
            return null;
        }
    }
}
