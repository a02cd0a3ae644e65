using System.Text.Json;
using System.Xml.Linq;
using Forengate.Lab.Machine;
using Forengate.Testing.Twins;

namespace Forengate.Cli.Tests.Program;

/// <summary><c>forengate guard</c> as a service runs it, ended and killed in the middle of its work, with a guest of a private libvirt that restarts after each crash.</summary>
public sealed class GuardProcessTests : IDisposable
{
    private const string Guest = "again";

    /// <summary>The dump may be over before the test has a hand on it.</summary>
    private const int Attempts = 12;

    private readonly LibvirtDaemon _libvirt = LibvirtDaemon.Start(TwinFolders.New());
    private readonly string _folder = TwinFolders.New();
    private TwinGuest? _twin;

    public void Dispose()
    {
        _twin?.Dispose();
        _libvirt.Dispose();
    }

    [Fact]
    public void A_signal_during_a_dump_lets_it_be_finished_and_puts_the_settings_back()
    {
        StartGuest(512);
        for (var attempt = 1; ; attempt++)
        {
            Assert.True(attempt <= Attempts, "each dump was over before it could be interrupted");
            using var guard = Guard("--at-most", "none");
            var partial = guard.FreezeInDump(_folder, Panic);
            guard.Send(RunningGuard.Terminate);
            guard.Release();
            var outcome = guard.End();
            Assert.True(outcome.ExitCode == 0, $"{outcome.ExitCode}: {outcome.Errors}; {guard.Journal}");
            // The keeper had nothing to do, and to say.
            Assert.Empty(outcome.Errors);
            Assert.Null(guard.Keeper);
            var dumped = Assert.Single(guard.Of("dumped"));
            Assert.Contains("(restart)", dumped.GetProperty("action").GetString()!, StringComparison.Ordinal);
            Assert.Single(guard.Of("ended"));
            Assert.Equal(("restart", false), OnCrash());
            AwaitGuest();
            var file = Assert.Single(Directory.GetFiles(_folder));
            Assert.Equal(dumped.GetProperty("file").GetString(), file);
            if (partial is null)
            {
                File.Delete(file);
                continue;
            }
            ForengateProgram.Run("check", file).Done();
            return;
        }
    }

    [Fact]
    public void A_second_signal_cancels_the_dump_and_nothing_is_left_of_it()
    {
        StartGuest(512);
        for (var attempt = 1; ; attempt++)
        {
            Assert.True(attempt <= Attempts, "each dump was over before it could be cancelled");
            using var guard = Guard("--at-most", "none");
            if (guard.FreezeInDump(_folder, Panic) is not null)
            {
                guard.Release();
                guard.SendAndAwait(RunningGuard.Terminate);
                guard.Send(RunningGuard.Terminate);
            }
            else
            {
                guard.Send(RunningGuard.Terminate);
            }
            var outcome = guard.End();
            Assert.Equal(("restart", false), OnCrash());
            AwaitGuest();
            if (guard.Of("failed").Length == 0)
            {
                File.Delete(Assert.Single(Directory.GetFiles(_folder)));
                continue;
            }
            Assert.True(outcome.ExitCode == 3, $"{outcome.ExitCode}: {outcome.Errors}; {guard.Journal}");
            var failed = Assert.Single(guard.Of("failed"));
            Assert.Contains("cancelled", failed.GetProperty("text").GetString()!, StringComparison.Ordinal);
            Assert.Contains("(restart)", failed.GetProperty("action").GetString()!, StringComparison.Ordinal);
            Assert.Empty(guard.Of("dumped"));
            Assert.Single(guard.Of("ended"));
            Assert.Empty(Directory.GetFileSystemEntries(_folder));
            return;
        }
    }

    [Fact]
    public void Killed_with_its_keeper_in_the_middle_of_a_dump_the_guest_is_repaired_and_the_next_guard_clears_up()
    {
        StartGuest(512);
        string? partial = null;
        for (var attempt = 1; partial is null; attempt++)
        {
            Assert.True(attempt <= Attempts, "each dump was over before its guard could be killed");
            using var guard = Guard("--at-most", "none");
            partial = guard.FreezeInDump(_folder, Panic);
            if (partial is not null)
                guard.KillKeeper();
            guard.Send(partial is null ? RunningGuard.Terminate : RunningGuard.Kill);
            guard.End();
            if (partial is null)
                File.Delete(Assert.Single(Directory.GetFiles(_folder)));
        }
        Assert.Equal([partial], Directory.GetFiles(_folder));
        Assert.Equal("crashed", Virsh("domstate", Guest));
        Assert.Equal(("preserve", true), OnCrash());

        string[] rescue = ["rescue", $"libvirt:{Guest}", "--connect", _libvirt.Uri, "--output", "json"];
        var looked = ForengateProgram.Run([.. rescue, "--look"]);
        Assert.True(looked.ExitCode == 3, looked.Errors);
        Assert.Contains(Lines(looked.Json, "found"), line => line.Contains("on_crash (restart) is held by a guard that is gone", StringComparison.Ordinal));
        Assert.Equal(("preserve", true), OnCrash());
        // The setting is put back; that the guest has crashed is its administrator's to end.
        var repaired = ForengateProgram.Run([.. rescue, "--resume"]);
        Assert.True(repaired.ExitCode == 3, repaired.Errors);
        Assert.Equal(["put its on_crash back to restart"], Lines(repaired.Json, "done"));
        Assert.Contains(Lines(repaired.Json, "found"), line => line.Contains($"'virsh reset {Guest}', then 'virsh resume {Guest}'", StringComparison.Ordinal));
        Assert.Equal(("restart", false), OnCrash());
        Assert.Equal("crashed", Virsh("domstate", Guest));
        Virsh("reset", Guest);
        Virsh("resume", Guest);
        AwaitGuest();
        var sound = ForengateProgram.Run(rescue).Done().Json;
        Assert.Empty(Lines(sound, "found"));

        // It can be saved and restored as any other.
        var saved = Path.Combine(TwinFolders.New(), "saved");
        Virsh("save", Guest, saved);
        Virsh("restore", saved);
        AwaitGuest();
        Assert.Equal(("restart", false), OnCrash());

        using (var next = Guard())
        {
            Assert.Equal(partial, next.Await("removed").GetProperty("file").GetString());
            Assert.Empty(Directory.GetFiles(_folder));
            Panic();
            var file = next.Await("dumped").GetProperty("file").GetString()!;
            next.Send(RunningGuard.Terminate);
            Assert.Equal(0, next.End().ExitCode);
            ForengateProgram.Run("check", file).Done();
        }
        AwaitGuest();
        Assert.Equal(("restart", false), OnCrash());
    }

    [Fact]
    public void Killed_in_the_middle_of_a_dump_it_leaves_the_settings_as_they_were()
    {
        StartGuest(512);
        for (var attempt = 1; ; attempt++)
        {
            Assert.True(attempt <= Attempts, "each dump was over before its guard could be killed");
            using var guard = Guard("--at-most", "none");
            var partial = guard.FreezeInDump(_folder, Panic);
            guard.Send(partial is null ? RunningGuard.Terminate : RunningGuard.Kill);
            var outcome = guard.End();
            // Nobody repaired anything.
            Assert.Null(guard.Keeper);
            Assert.Equal(("restart", false), OnCrash());
            if (partial is null)
            {
                File.Delete(Assert.Single(Directory.GetFiles(_folder)));
                AwaitGuest();
                continue;
            }
            Assert.Contains($"libvirt:{Guest}: put its on_crash back to restart; the guest has crashed and stands still", outcome.Reason, StringComparison.Ordinal);
            Assert.Equal("crashed", Virsh("domstate", Guest));
            Virsh("reset", Guest);
            Virsh("resume", Guest);
            AwaitGuest();
            return;
        }
    }

    [Fact]
    public void Killed_while_it_listens_the_guest_crashes_as_it_did_before()
    {
        StartGuest(128);
        using (var guard = Guard())
        {
            Assert.NotNull(guard.Keeper);
            guard.Send(RunningGuard.Kill);
            var outcome = guard.End();
            Assert.Contains($"libvirt:{Guest}: put its on_crash back to restart", outcome.Reason, StringComparison.Ordinal);
            Assert.Null(guard.Keeper);
        }
        Assert.Equal(("restart", false), OnCrash());
        Panic();
        // libvirt resets it by itself.
        AwaitGuest();
    }

    [Fact]
    public void What_a_killed_guard_held_the_next_one_holds_and_puts_back()
    {
        StartGuest(128);
        using (var first = Guard())
        {
            using var second = Guard();
            Assert.Contains($"another guard (process {first.ProcessId})", second.Await("heard").GetProperty("text").GetString()!, StringComparison.Ordinal);
            var note = Note();
            Assert.Equal($"{first.ProcessId}", note.Attribute("pid")!.Value);
            var living = ForengateProgram.Run("rescue", $"libvirt:{Guest}", "--connect", _libvirt.Uri, "--output", "json").Done().Json;
            Assert.Contains($"process {first.ProcessId}", Assert.Single(Lines(living, "remarks")), StringComparison.Ordinal);
            Assert.Equal(("preserve", true), OnCrash());
            first.Send(RunningGuard.Kill);
            first.End();
            for (var until = Environment.TickCount64 + 60_000; Note().Attribute("pid")!.Value != $"{second.ProcessId}"; Thread.Sleep(50))
                Assert.True(Environment.TickCount64 < until, second.Journal);
            Panic();
            Assert.Contains("(restart)", second.Await("dumped").GetProperty("action").GetString()!, StringComparison.Ordinal);
            second.Send(RunningGuard.Terminate);
            Assert.Equal(0, second.End().ExitCode);
        }
        AwaitGuest();
        Assert.Equal(("restart", false), OnCrash());
    }

    [Fact]
    public void What_is_kept_how_many_are_made_and_what_is_run_is_as_the_command_line_says()
    {
        StartGuest(128);
        var said = Path.Combine(TwinFolders.New(), "said");
        using var guard = Guard("--keep", "1", "--at-most", "2/1h", "--run-shell", "--run", $"echo \"$FORENGATE_GUEST $FORENGATE_BUGCHECK $FORENGATE_TYPE $FORENGATE_COMPLETE\" >> {said}; cmp \"$FORENGATE_FILE\" \"$FORENGATE_FILE\"; exit 7");
        Panic();
        var first = guard.Await("dumped").GetProperty("file").GetString()!;
        // A command that fails is told, and changes nothing.
        Assert.Equal(7, guard.Await("failed").GetProperty("exitCode").GetInt32());
        AwaitGuest();
        Panic();
        var second = guard.Await("dumped", 2).GetProperty("file").GetString()!;
        Assert.Equal(first, guard.Await("removed").GetProperty("file").GetString());
        guard.Await("failed", 2);
        Assert.Equal([second], Directory.GetFiles(_folder));
        AwaitGuest();
        Panic();
        var suppressed = guard.Await("suppressed");
        Assert.Equal(1, suppressed.GetProperty("suppressed").GetInt32());
        Assert.Contains("(restart)", suppressed.GetProperty("action").GetString()!, StringComparison.Ordinal);
        AwaitGuest();
        guard.Send(RunningGuard.Terminate);
        Assert.Equal(3, guard.End().ExitCode);
        Assert.Equal([second], Directory.GetFiles(_folder));
        var line = $"libvirt:{Guest} 0x1E full 1";
        Assert.Equal([line, line], File.ReadAllLines(said));
        Assert.Equal(("restart", false), OnCrash());
    }

    [Fact]
    public void What_the_disk_has_to_keep_is_kept()
    {
        StartGuest(128);
        // More than any disk of this size has: nothing may be written, the guest's own action is done all the same.
        using (var guard = Guard("--reserve", "1000000G", "--once"))
        {
            Panic();
            Assert.Contains("(restart)", guard.Await("declined").GetProperty("action").GetString()!, StringComparison.Ordinal);
            Assert.Equal(1, guard.End().ExitCode);
        }
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
        AwaitGuest();
        if (!Environment.IsPrivilegedProcess)
            return;
        // A disk of its own, of 100 MiB: 128 MiB don't fit, what the kernel has does.
        var small = TwinFolders.New();
        using (var guard = RunningGuard.Start(
            ["unshare", "--mount", "sh", "-c", $"mount -t tmpfs -o size=100m tmpfs {small} && exec \"$@\"", "sh"], [.. Arguments(small), "--reserve", "1M"]))
        {
            AwaitHeld();
            Panic();
            var dumped = guard.Await("dumped");
            Assert.Equal("kernel", dumped.GetProperty("type").GetString());
            Assert.Contains(Lines(dumped, "lines"), text => text.Contains("no full dump: there is no room", StringComparison.Ordinal));
            // The disk is seen through its process only.
            var there = $"/proc/{guard.ProcessId}/root{dumped.GetProperty("file").GetString()}";
            ForengateProgram.Run("check", there).Done();
            Assert.InRange(new FileInfo(there).Length, 1 << 20, 100 << 20);
            guard.Send(RunningGuard.Terminate);
            Assert.Equal(0, guard.End().ExitCode);
        }
        AwaitGuest();
        Assert.Equal(("restart", false), OnCrash());
    }

    private void StartGuest(int mebibytes)
    {
        _twin = TwinGuest.Start(
            TwinImages.Get("--build", "19041", "--memory", $"{mebibytes}", "--cpus", "1", "--bugcheck", "1E,1,2,3,4", "--panic", "command"),
            new MachineOptions { LibvirtUri = _libvirt.Uri, Name = Guest, PanicIsa = true, OnCrash = "restart" });
        // A reset, which is what a restart after a crash is, must not end the domain.
        Virsh("set-lifecycle-action", Guest, "reboot", "restart", "--live");
    }

    private string[] Arguments(string folder) => [Guest, "--to", folder, "--connect", _libvirt.Uri];

    /// <summary>Starts a guard; the guest may crash when this returns.</summary>
    private RunningGuard Guard(params string[] options)
    {
        var guard = RunningGuard.Start([], [.. Arguments(_folder), .. options.Contains("--reserve") ? (string[])[] : ["--reserve", "0"], .. options]);
        AwaitHeld();
        return guard;
    }

    /// <summary>On a busy host a guard is ready to hear before it holds.</summary>
    private void AwaitHeld()
    {
        for (var until = Environment.TickCount64 + 60_000; OnCrash() != ("preserve", true); Thread.Sleep(50))
            Assert.True(Environment.TickCount64 < until, "the guest's on_crash is not held");
    }

    private void Panic() => _twin!.Machine.Panic(PanicWay.Isa);

    /// <summary>It was reset and answers again.</summary>
    private void AwaitGuest()
    {
        for (var until = Environment.TickCount64 + 60_000; ; Thread.Sleep(50))
        {
            try
            {
                Assert.Equal("running", Virsh("domstate", Guest));
                _twin!.Machine.Ping();
                return;
            }
            catch (Exception e) when (e is MachineException or Xunit.Sdk.XunitException && Environment.TickCount64 < until)
            {
                // Its firmware and its own start take a moment.
            }
        }
    }

    private (string OnCrash, bool Noted) OnCrash()
    {
        var domain = XElement.Parse(Virsh("dumpxml", Guest));
        return (domain.Element("on_crash")!.Value, domain.Element("metadata")?.HasElements == true);
    }

    private XElement Note() => XElement.Parse(Virsh("dumpxml", Guest)).Element("metadata")!.Elements().Single();

    private string Virsh(params string[] arguments) => LibvirtDomain.Virsh(_libvirt.Uri, arguments).Trim();

    private static string[] Lines(JsonElement report, string name) => [.. report.GetProperty(name).EnumerateArray().Select(line => line.GetString()!)];
}
