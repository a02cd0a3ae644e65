using System.Text.Json;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary>The program on guests that run: it sees them change, and whatever becomes of it, a guest that it stopped runs again.</summary>
public sealed class LiveGuestTests
{
    private static readonly TimeSpan EventTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Large enough that a copy takes longer than a signal.</summary>
    private static TwinGuest StartLarge() => TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "768", "--cpus", "2"));

    [Fact]
    public void Killed_while_the_guest_stands_still_the_guest_runs_on()
    {
        using var twin = StartLarge();
        using var monitor = twin.Machine.OpenMonitor();
        var folder = TwinFolders.New();
        using var program = ForengateProgram.Start("dump", twin.Target, Path.Combine(folder, "out.dmp"), "--consistency", "stop");
        FreezeWhileGuestStandsStill(monitor, program);
        program.SendKill();
        program.End();
        RunsAgain(monitor, twin);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder));
    }

    [Fact]
    public void Interrupted_while_the_guest_stands_still_it_ends_with_130()
    {
        using var twin = StartLarge();
        using var monitor = twin.Machine.OpenMonitor();
        var folder = TwinFolders.New();
        using var program = ForengateProgram.Start("dump", twin.Target, Path.Combine(folder, "out.dmp"), "--consistency", "stop");
        FreezeWhileGuestStandsStill(monitor, program);
        program.SendInterrupt();
        program.SendContinue();
        var outcome = program.End();
        Assert.Equal(130, outcome.ExitCode);
        Assert.Contains("interrupted", outcome.Reason, StringComparison.Ordinal);
        RunsAgain(monitor, twin);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder));
    }

    [Fact]
    public void Interrupted_while_it_writes_it_ends_with_130()
    {
        using var twin = StartLarge();
        // Nobody reads the pipe, so it cannot be done before it is interrupted.
        using var program = ForengateProgram.Start("dump", twin.Target, "-");
        Assert.Equal('P', program.Output.ReadByte());
        Assert.Equal("running", twin.State);
        program.SendInterrupt();
        Assert.Equal(130, program.End().ExitCode);
    }

    [Fact]
    public void A_guest_that_vanishes_halfway_is_a_reason()
    {
        using var twin = StartLarge();
        using var monitor = twin.Machine.OpenMonitor();
        var folder = TwinFolders.New();
        using var program = ForengateProgram.Start("dump", twin.Target, Path.Combine(folder, "out.dmp"), "--consistency", "stop");
        FreezeWhileGuestStandsStill(monitor, program);
        twin.Machine.Stop();
        program.SendContinue();
        var outcome = program.End();
        Assert.Equal(1, outcome.ExitCode);
        Assert.NotEmpty(outcome.Reason);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder));
    }

    [Fact]
    public void Processes_come_and_go_as_the_guest_says()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "22000", "--memory", "128", "--cpus", "2", "--cpu-modes", "mixed"));
        var spawn = twin.Truth.Commands.First(command => command.Action == "spawn");
        var exit = twin.Truth.Commands.First(command => command.Action == "exit" && command.Pid == spawn.Pid);
        var before = Processes(twin);
        Assert.Equal(twin.Truth.Processes.Where(process => process.Listed).Select(process => process.Pid).Order(), before.Keys.Order());

        twin.Machine.Command(spawn.Index);
        var during = Processes(twin);
        Assert.Equal([spawn.Pid], during.Keys.Except(before.Keys));
        Assert.Empty(before.Keys.Except(during.Keys));
        Assert.Equal(spawn.Name, during[spawn.Pid].GetProperty("name").GetString());

        twin.Machine.Command(exit.Index);
        Assert.Equal(before.Keys.Order(), Processes(twin).Keys.Order());
        var scanned = Processes(twin, "--scan")[spawn.Pid];
        Assert.False(scanned.GetProperty("listed").GetBoolean());
        Assert.True(scanned.GetProperty("exited").GetBoolean());
        Assert.Equal(exit.ExitTime, scanned.GetProperty("exitTime").GetDateTime());
        twin.Machine.Ping();
    }

    [Fact]
    public void A_guest_may_also_be_read_while_it_runs_and_the_answer_says_so()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128"));
        using var monitor = twin.Machine.OpenMonitor();
        var outcome = ForengateProgram.Run("processes", twin.Target, "--consistency", "live", "--output", "json").Done();
        Assert.Equal(twin.Truth.Processes.Count(process => process.Listed), outcome.Json.GetArrayLength());
        Assert.Contains("smeared", outcome.Errors, StringComparison.Ordinal);
        Assert.Contains("smear low: ", outcome.Errors, StringComparison.Ordinal);
        Assert.Null(monitor.WaitFor("STOP", TimeSpan.FromMilliseconds(1)));
    }

    [Fact]
    public void A_dump_of_a_running_guest_says_how_smeared_it_is()
    {
        // Where the comment lies in the header of a 64-bit dump (docs/formats/crash-dump.md).
        const int CommentOffset = 0xFB0, CommentSize = 128;
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128"));
        var folder = TwinFolders.New();
        var dump = Path.Combine(folder, "out.dmp");
        var outcome = ForengateProgram.Run("dump", twin.Target, dump, "--consistency", "live", "--comment", "for the vendor", "--output", "json").Done();
        var smear = outcome.Json.GetProperty("smear");
        Assert.Equal("low", smear.GetProperty("level").GetString());
        Assert.True(smear.GetProperty("pagesRead").GetInt64() >= outcome.Json.GetProperty("pages").GetInt64());
        Assert.True(smear.GetProperty("pagesCompared").GetInt64() > 1000);
        using (var file = File.OpenRead(dump))
        {
            var comment = new byte[CommentSize];
            file.Position = CommentOffset;
            file.ReadExactly(comment);
            var text = System.Text.Encoding.ASCII.GetString(comment).TrimEnd('\0');
            Assert.Matches("^smear low: 0\\.\\d % of pages in [0-9.]+ m?s; for the vendor$", text);
        }
        ForengateProgram.Run("check", dump).Done();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void A_pause_that_would_be_too_long_is_refused_before_the_guest_is_stopped()
    {
        using var twin = StartLarge();
        using var monitor = twin.Machine.OpenMonitor();
        var folder = TwinFolders.New();
        var outcome = ForengateProgram.Run("dump", twin.Target, Path.Combine(folder, "out.dmp"), "--max-pause", "1");
        Assert.Equal(1, outcome.ExitCode);
        Assert.Null(monitor.WaitFor("STOP", TimeSpan.FromMilliseconds(1)));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder));
        Directory.Delete(folder);
    }

    [Fact]
    public void A_dump_of_a_guest_that_runs_is_whole_and_the_guest_runs_on()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "2", "--cpu-modes", "mixed"));
        var file = Path.Combine(TwinFolders.New(), "out.dmp");
        var outcome = ForengateProgram.Run("dump", twin.Target, file, "--output", "json").Done().Json;
        Assert.Equal("running", twin.State);
        twin.Machine.Ping();
        Assert.True(outcome.GetProperty("stoodStillMilliseconds").GetDouble() > 0);
        Assert.Equal((ulong)new FileInfo(file).Length, outcome.GetProperty("bytes").GetUInt64());
        Assert.True(ForengateProgram.Run("check", file, "--output", "json").Done().Json.GetProperty("passed").GetBoolean());
        var piped = Path.Combine(Path.GetDirectoryName(file)!, "piped.dmp");
        Assert.Equal(0, ForengateProgram.RunUnder(["sh", "-c", "\"$@\" > \"$0\"", piped], ["dump", twin.Target, "-"]).ExitCode);
        ForengateProgram.Run("check", piped).Done();
        Assert.Equal(Kernel(twin.Target), Kernel(piped));
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }

    [Fact]
    public void A_plan_is_told_and_changes_nothing()
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "2", "--cpu-modes", "mixed"));
        using var monitor = twin.Machine.OpenMonitor();
        var plan = ForengateProgram.Run("dump", twin.Target, "--plan", "--output", "json").Done().Json;
        Assert.Equal(3, plan.GetProperty("ways").GetArrayLength());
        Assert.NotEmpty(plan.GetProperty("reason").GetString()!);
        Assert.Contains("nothing was changed", ForengateProgram.Run("dump", twin.Target, "--plan").Done().Output, StringComparison.Ordinal);
        Assert.Null(monitor.WaitFor("STOP", TimeSpan.FromMilliseconds(1)));
        Assert.Equal(1, ForengateProgram.Run("dump", twin.Target, "--plan", "--max-pause", "1", "--consistency", "stop").ExitCode);
        Assert.Equal(2, ForengateProgram.Run("dump", twin.Target).ExitCode);
    }

    [Theory]
    [InlineData("snapshot")]
    [InlineData("stop")]
    public void A_full_disk_and_a_reader_that_goes_away_are_reasons_and_the_guest_runs_on(string consistency)
    {
        using var twin = TwinGuest.Start(TwinImages.Get("--build", "19041", "--memory", "128", "--cpus", "2", "--cpu-modes", "mixed"));
        using var monitor = twin.Machine.OpenMonitor();
        // A disk on which every write fails for want of room.
        var full = ForengateProgram.RunUnder(["sh", "-c", "\"$@\" > /dev/full", "sh"], ["dump", twin.Target, "-", "--consistency", consistency]);
        Assert.Equal(1, full.ExitCode);
        Assert.NotEmpty(full.Reason);
        RunsAgain(monitor, twin);
        var read = ForengateProgram.RunUnder(["sh", "-c", "{ \"$@\"; echo \"ended with $?\" >&2; } | head -c 1", "sh"], ["dump", twin.Target, "-", "--consistency", consistency]);
        Assert.Contains("ended with 1", read.Errors, StringComparison.Ordinal);
        RunsAgain(monitor, twin);
        // Another one is as good as the first.
        var folder = TwinFolders.New();
        ForengateProgram.Run("dump", twin.Target, Path.Combine(folder, "out.dmp"), "--consistency", consistency).Done();
        Directory.Delete(folder, recursive: true);
    }

    private static string Kernel(string target) => ForengateProgram.Run("info", target, "--output", "json").Done().Json.GetProperty("windows").GetProperty("kernelBase").GetString()!;

    private static Dictionary<uint, JsonElement> Processes(TwinGuest twin, params string[] options) =>
        ForengateProgram.Run(["processes", twin.Target, "--output", "json", .. options]).Done().Json.EnumerateArray().ToDictionary(process => process.GetProperty("pid").GetUInt32());

    private static void FreezeWhileGuestStandsStill(QmpClient monitor, ForengateProgram program)
    {
        Assert.NotNull(monitor.WaitFor("STOP", EventTimeout));
        program.SendFreeze();
        Assert.Equal("paused", monitor.Execute("query-status").GetProperty("status").GetString());
    }

    private static void RunsAgain(QmpClient monitor, TwinGuest twin)
    {
        if (monitor.Execute("query-status").GetProperty("status").GetString() != "running")
            Assert.NotNull(monitor.WaitFor("RESUME", EventTimeout));
        twin.Machine.Ping();
    }
}
