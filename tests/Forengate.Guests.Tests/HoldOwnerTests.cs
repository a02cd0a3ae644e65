using System.Diagnostics;
using System.Xml.Linq;

namespace Forengate.Guests.Tests;

/// <summary>Who holds a guest's on_crash, as another guard and a repair see it: the owner is a process of the test's own, which lives or was killed.</summary>
public sealed class HoldOwnerTests(TestLibvirt libvirt) : IClassFixture<TestLibvirt>
{
    private static readonly CancellationToken Ct = CancellationToken.None;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    [Fact]
    public void A_process_is_told_from_one_that_has_ended_and_from_one_that_got_its_number()
    {
        Assert.Equal(OwnerStanding.Lives, HoldOwner.Self.Look());
        Assert.True(HoldOwner.Of(Environment.ProcessId).IsSelf);
        Assert.Equal(OwnerStanding.Gone, (HoldOwner.Self with { StartTime = HoldOwner.Self.StartTime + 1 }).Look());
        Assert.Equal(OwnerStanding.Elsewhere, (HoldOwner.Self with { Boot = "00000000-0000-0000-0000-000000000000" }).Look());
        Assert.Equal(OwnerStanding.Unknown, (HoldOwner.Self with { Space = "pid:[1]" }).Look());
        // The shell becomes a program that never waits for its child.
        using var parent = Process.Start(new ProcessStartInfo("sh", ["-c", "sleep 600 & echo $!; exec sleep 601"]) { RedirectStandardOutput = true })!;
        try
        {
            using var child = Process.GetProcessById(int.Parse(parent.StandardOutput.ReadLine()!, null));
            TestQemu.WaitFor(() => File.ReadAllText($"/proc/{parent.Id}/cmdline").StartsWith("sleep", StringComparison.Ordinal), "the shell's new program");
            var owner = HoldOwner.Of(child.Id);
            Assert.Equal(OwnerStanding.Lives, owner.Look());
            child.Kill();
            TestQemu.WaitFor(() => ProcessStat.Read($"/proc/{child.Id}") is { HasEnded: true }, "the child's end");
            Assert.Equal(OwnerStanding.Gone, owner.Look());
        }
        finally
        {
            End(parent);
        }
    }

    [Fact]
    public void A_note_is_read_as_it_was_written_and_a_broken_one_names_nobody()
    {
        var note = CrashSetting.Note(CrashAction.Restart, HoldOwner.Self);
        Assert.Equal(HoldOwner.Self, HoldOwner.Read(XElement.Parse(note)));
        foreach (var attribute in (string[])["boot", "pid_namespace", "pid", "start"])
        {
            var broken = XElement.Parse(note);
            broken.Attribute(attribute)!.Remove();
            Assert.Null(HoldOwner.Read(broken));
        }
        foreach (var number in (string[])["", "-1", "0", "1e3", "99999999999999999999", " 1"])
        {
            var broken = XElement.Parse(note);
            broken.SetAttributeValue("pid", number);
            Assert.Null(HoldOwner.Read(broken));
        }
        Assert.Equal(new ProcessStat('S', 77), ProcessStat.Parse("12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 77 20 21\n"));
        foreach (var line in (string[])["", ")", "1 (x) S", "1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20"])
            Assert.Null(ProcessStat.Parse(line));
    }

    [Fact]
    public void A_living_guards_guest_is_left_to_it_and_taken_when_it_was_killed()
    {
        libvirt.StartAlarm("shared", "restart");
        using var other = Sleeper();
        try
        {
            Hold("shared", CrashAction.Restart, HoldOwner.Of(other.Id));
            using (var source = AlarmSources.ForLibvirt(libvirt.Uri, ["shared"], new AlarmOptions(), Ct))
            {
                TestQemu.WaitFor(() => source.Remarks.Any(r => r.Contains($"another guard (process {other.Id})", StringComparison.Ordinal)), "the other guard to be told of");
                Assert.Equal(HoldOwner.Of(other.Id), Live("shared").Owner);
                var heard = Crash(source, "shared");
                Assert.Null(heard.Hold);
                Assert.Equal(GuestStanding.Stands, heard.Standing);
                libvirt.Virsh("reset", "shared");
                libvirt.Virsh("resume", "shared");
                var owner = HoldOwner.Of(other.Id);
                End(other);
                Assert.Equal(OwnerStanding.Gone, owner.Look());
                TestQemu.WaitFor(() => Live("shared").Owner == HoldOwner.Self, "the guest to be taken over");
                Assert.Equal((CrashAction.Preserve, CrashAction.Restart), (Live("shared").OnCrash, Live("shared").Noted));
                TestQemu.WaitFor(
                    () =>
                    {
                        if (Crash(source, "shared").Hold is { } hold)
                            return hold.Action == CrashAction.Restart;
                        // A letter too many, which the guest read when it had been reset and the other one lived.
                        libvirt.Virsh("reset", "shared");
                        libvirt.Virsh("resume", "shared");
                        return false;
                    },
                    "a crash that is held");
            }
            var after = Live("shared");
            Assert.Equal((CrashAction.Restart, null, null), (after.OnCrash, after.Noted, after.Owner));
            TestQemu.WaitFor(() => libvirt.State("shared") == "running", "the restart");
        }
        finally
        {
            End(other);
        }
    }

    [Fact]
    public void A_living_guard_is_not_robbed_by_one_that_ends()
    {
        libvirt.StartAlarm("kept", "destroy");
        using var other = Sleeper();
        try
        {
            using (AlarmSources.ForLibvirt(libvirt.Uri, ["kept"], new AlarmOptions(), Ct))
            {
                TestQemu.WaitFor(() => Live("kept") is { OnCrash: CrashAction.Preserve, Owner.IsSelf: true }, "the guest to be held");
                Hold("kept", CrashAction.Destroy, HoldOwner.Of(other.Id));
            }
            Assert.Equal((CrashAction.Preserve, HoldOwner.Of(other.Id)), (Live("kept").OnCrash, Live("kept").Owner));
        }
        finally
        {
            End(other);
        }
    }

    [Fact]
    public void A_repair_puts_back_what_a_killed_guard_held_and_leaves_a_living_ones()
    {
        var target = libvirt.StartAlarm("orphan", "restart");
        using var other = Sleeper();
        try
        {
            var owner = HoldOwner.Of(other.Id);
            Hold("orphan", CrashAction.Restart, owner);
            var living = Repair(target, new RepairOptions());
            Assert.Empty(living.Found);
            Assert.False(living.IsLeft);
            Assert.Contains("lives", Assert.Single(living.Remarks), StringComparison.Ordinal);
            Assert.Equal((CrashAction.Preserve, owner), (Live("orphan").OnCrash, Live("orphan").Owner));
            End(other);

            var looked = Repair(target, new RepairOptions { OnlyLook = true });
            Assert.Contains("restart) is held by a guard that is gone", Assert.Single(looked.Found), StringComparison.Ordinal);
            Assert.Empty(looked.Done);
            Assert.True(looked.IsLeft);
            Assert.Equal((CrashAction.Preserve, owner), (Live("orphan").OnCrash, Live("orphan").Owner));

            var repaired = Repair(target, new RepairOptions());
            Assert.Equal(["put its on_crash back to restart"], repaired.Done);
            Assert.False(repaired.IsLeft);
            Assert.Equal((CrashAction.Restart, null), (Live("orphan").OnCrash, Live("orphan").Noted));
            Assert.DoesNotContain("guarded", libvirt.Virsh("dumpxml", "orphan"), StringComparison.Ordinal);
            Assert.Empty(Repair(target, new RepairOptions()).Found);
        }
        finally
        {
            End(other);
        }
    }

    [Theory]
    [InlineData("destroy", "virsh destroy")]
    [InlineData("restart", "virsh reset")]
    public void A_guest_that_crashed_meanwhile_is_not_continued_and_its_way_out_is_told(string onCrash, string advice)
    {
        var name = "crashed-" + onCrash;
        var target = libvirt.StartAlarm(name, onCrash);
        var action = onCrash == "destroy" ? CrashAction.Destroy : CrashAction.Restart;
        using var other = Sleeper();
        Hold(name, action, HoldOwner.Of(other.Id));
        End(other);
        // Firmware that boots throws away what has come by then.
        TestQemu.WaitFor(
            () =>
            {
                libvirt.Tell(name, AlarmGuest.IsaPanic);
                return libvirt.State(name) == "crashed";
            },
            "the panic");
        var report = Repair(target, new RepairOptions { Resume = true });
        Assert.Equal([$"put its on_crash back to {onCrash}"], report.Done);
        Assert.True(report.IsLeft);
        Assert.Contains(report.Found, line => line.Contains("has crashed", StringComparison.Ordinal) && line.Contains($"'{advice} {name}'", StringComparison.Ordinal));
        Assert.Equal("crashed", libvirt.State(name));
        Assert.Equal((action, null), (Live(name).OnCrash, Live(name).Noted));
        // The next guard finds it as one that crashed before it came, and does what it asks for.
        using (var source = AlarmSources.ForLibvirt(libvirt.Uri, [name], new AlarmOptions(), Ct))
            Assert.Equal(action, source.Next(s_patience, Ct)!.Hold!.Action);
        TestQemu.WaitFor(() => !libvirt.Virsh("list", "--name").Split('\n').Contains(name) || libvirt.State(name) == "running", "the crash action");
    }

    [Fact]
    public void What_came_with_a_saved_guest_is_put_back_and_what_can_t_be_seen_is_left()
    {
        var target = libvirt.StartAlarm("moved", "coredump-destroy");
        Hold("moved", CrashAction.CoredumpDestroy, HoldOwner.Self with { Boot = "another" });
        Assert.Equal(["put its on_crash back to coredump-destroy"], Repair(target, new RepairOptions()).Done);
        Assert.Equal(CrashAction.CoredumpDestroy, Live("moved").OnCrash);

        Hold("moved", CrashAction.CoredumpDestroy, HoldOwner.Self with { Space = "pid:[1]" });
        var unseen = Repair(target, new RepairOptions());
        Assert.Empty(unseen.Done);
        Assert.True(unseen.IsLeft);
        Assert.Contains("virsh set-lifecycle-action moved crash coredump-destroy --live", Assert.Single(unseen.Found), StringComparison.Ordinal);

        // As guards wrote it that did not say who they were.
        libvirt.Virsh("metadata", "moved", CrashSetting.NoteUri, "--key", "forengate", "--set", "<guarded on_crash='coredump-destroy'/>", "--live");
        var nameless = Repair(target, new RepairOptions());
        Assert.True(nameless.IsLeft);
        Assert.Contains("did not say who it is", Assert.Single(nameless.Found), StringComparison.Ordinal);
        Assert.Equal(CrashAction.Preserve, Live("moved").OnCrash);
        // A guard takes it all the same.
        using (AlarmSources.ForLibvirt(libvirt.Uri, ["moved"], new AlarmOptions(), Ct))
            TestQemu.WaitFor(() => Live("moved").Owner == HoldOwner.Self, "the guest to be taken over");
        Assert.Equal((CrashAction.CoredumpDestroy, null), (Live("moved").OnCrash, Live("moved").Noted));

        // Killed between setting back and forgetting: only the note is left.
        using (var connection = LibvirtConnection.Open(libvirt.Uri, readOnly: false, Ct))
        using (var domain = connection.Find("moved", Ct)!)
            domain.NoteOnCrash(CrashAction.CoredumpDestroy, HoldOwner.Self with { StartTime = 1 });
        Assert.Equal(["took the note away"], Repair(target, new RepairOptions()).Done);
        Assert.Equal((CrashAction.CoredumpDestroy, null), (Live("moved").OnCrash, Live("moved").Noted));
    }

    private CrashSetting Live(string name) => CrashSetting.Read(libvirt.Virsh("dumpxml", name));

    private RepairReport Repair(GuestTarget target, RepairOptions options) => GuestRepair.Run(target, options with { ConnectUri = libvirt.Uri }, Ct);

    /// <summary>As a guard of that owner leaves the domain.</summary>
    private void Hold(string name, CrashAction action, HoldOwner owner)
    {
        using var connection = LibvirtConnection.Open(libvirt.Uri, readOnly: false, Ct);
        using var domain = connection.Find(name, Ct)!;
        domain.NoteOnCrash(action, owner);
        domain.SetOnCrash(CrashAction.Preserve);
    }

    private GuestAlarm Crash(IAlarmSource source, string name)
    {
        GuestAlarm? alarm = null;
        TestQemu.WaitFor(
            () =>
            {
                // Firmware that boots throws away what has come by then.
                libvirt.Tell(name, AlarmGuest.IsaPanic);
                return (alarm = source.Next(TimeSpan.FromSeconds(1), Ct)) is { Kind: GuestAlarmKind.Panicked };
            },
            "the panic");
        return alarm!;
    }

    private static Process Sleeper() => Process.Start("sleep", "600")!;

    private static void End(Process process)
    {
        if (!process.HasExited)
            process.Kill();
        process.WaitForExit();
    }
}
