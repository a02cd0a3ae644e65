namespace Forengate.Guests.Tests;

/// <summary>Alarms by a real libvirt, of guests that panic under each on_crash.</summary>
public sealed class AlarmLibvirtTests(TestLibvirt libvirt) : IClassFixture<TestLibvirt>
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_quiet = TimeSpan.FromSeconds(1);

    private IAlarmSource Listen(string name) => AlarmSources.ForLibvirt(libvirt.Uri, [name], new AlarmOptions(), CancellationToken.None);

    private static GuestAlarm Next(IAlarmSource source, GuestAlarmKind kind)
    {
        var alarm = source.Next(s_patience, CancellationToken.None);
        Assert.True(alarm is not null, $"no {kind}; remarks: {string.Join("; ", source.Remarks)}");
        Assert.True(alarm.Kind == kind, $"{alarm.Kind}: {alarm.Text}");
        return alarm;
    }

    /// <summary>The live setting, and whether our note is there.</summary>
    private (string OnCrash, bool Noted) Live(string name) => Parse(libvirt.Virsh("dumpxml", name));

    private static (string OnCrash, bool Noted) Parse(string xml) =>
        (xml.Split("<on_crash>")[1].Split('<')[0], xml.Contains("<forengate:guarded", StringComparison.Ordinal));

    private void AssertStandsAndReads(GuestAlarm alarm, string name)
    {
        Assert.True(alarm.WantsDump);
        Assert.Equal(GuestStanding.Stands, alarm.Standing);
        Assert.Equal(libvirt.Virsh("domid", name).Trim(), alarm.DomainId!.Value.ToString(null, null));
        // Long enough for libvirt to have done what it would do.
        Thread.Sleep(300);
        Assert.Equal("crashed", libvirt.State(name));
        using var view = LiveCapture.Take(alarm.Target!, libvirt.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        var magic = new byte[4];
        Assert.Equal(4, view.Memory.Read(new(0x200000), magic));
        Assert.Equal(0x1BADB002u, BitConverter.ToUInt32(magic));
        Assert.Equal("crashed", libvirt.State(name));
    }

    [Theory]
    [InlineData("destroy", CrashAction.Destroy)]
    [InlineData("coredump-destroy", CrashAction.CoredumpDestroy)]
    public void A_guest_that_is_to_be_ended_stands_until_it_is_dumped(string onCrash, CrashAction action)
    {
        var name = "ends-" + onCrash;
        libvirt.StartAlarm(name, onCrash);
        using var source = Listen(name);
        Assert.Equal(("preserve", true), Live(name));
        libvirt.Tell(name, AlarmGuest.IsaPanic);
        var alarm = Next(source, GuestAlarmKind.Panicked);
        AssertStandsAndReads(alarm, name);
        Assert.Equal(action, alarm.Hold!.Action);
        var core = Path.Combine(libvirt.Folder, "data", "core");
        Assert.Contains("ended", alarm.Hold.Apply(core, CancellationToken.None), StringComparison.Ordinal);
        Assert.Equal(action == CrashAction.CoredumpDestroy, File.Exists(core));
        Next(source, GuestAlarmKind.Gone);
        Assert.Empty(source.Guests);
        Assert.DoesNotContain(name, libvirt.Virsh("list", "--all", "--name").Split('\n'));
    }

    [Fact]
    public void A_guest_that_is_to_restart_does_so_in_the_same_QEMU_and_is_still_guarded()
    {
        libvirt.StartAlarm("restarts", "restart");
        using (var source = Listen("restarts"))
        {
            for (var round = 0; round < 2; round++)
            {
                // Firmware that boots throws away what has come by then.
                GuestAlarm? alarm = null;
                TestQemu.WaitFor(
                    () =>
                    {
                        libvirt.Tell("restarts", AlarmGuest.IsaPanic);
                        return (alarm = source.Next(TimeSpan.FromSeconds(1), CancellationToken.None)) is not null;
                    },
                    "the panic");
                Assert.Equal(GuestAlarmKind.Panicked, alarm!.Kind);
                Assert.Equal("crashed", libvirt.State("restarts"));
                Assert.Contains("reset", alarm.Hold!.Apply(null, CancellationToken.None), StringComparison.Ordinal);
                Assert.Equal("running", libvirt.State("restarts"));
                Assert.Equal(libvirt.Virsh("domid", "restarts").Trim(), alarm.DomainId!.Value.ToString(null, null));
            }
        }
        Assert.Equal(("restart", false), Live("restarts"));
    }

    [Fact]
    public void A_guest_that_is_to_be_preserved_is_left_alone()
    {
        libvirt.StartAlarm("preserved", "preserve");
        using (var source = Listen("preserved"))
        {
            Assert.Equal(("preserve", false), Live("preserved"));
            libvirt.Tell("preserved", AlarmGuest.IsaPanic);
            var alarm = Next(source, GuestAlarmKind.Panicked);
            AssertStandsAndReads(alarm, "preserved");
            Assert.Null(alarm.Hold);
            // One crash, told by QEMU and by libvirt, is one alarm.
            Assert.Null(source.Next(s_quiet, CancellationToken.None));
        }
        Assert.Equal("crashed", libvirt.State("preserved"));
    }

    [Fact]
    public void A_guest_that_panics_at_boot_is_held_too()
    {
        using var source = Listen("boots");
        Assert.Contains(source.Remarks, r => r.Contains("libvirt:boots", StringComparison.Ordinal));
        libvirt.StartAlarm("boots", "destroy", atBoot: true);
        Assert.Equal("libvirt:boots", Next(source, GuestAlarmKind.Started).Target!.ToString());
        var alarm = Next(source, GuestAlarmKind.Panicked);
        AssertStandsAndReads(alarm, "boots");
        Assert.NotNull(alarm.Hold);
    }

    [Fact]
    public void The_setting_is_put_back_and_the_definition_never_touched()
    {
        libvirt.StartAlarm("defined", "restart", persistent: true);
        using (Listen("defined"))
        {
            Assert.Equal(("preserve", true), Live("defined"));
            Assert.Equal(("restart", false), Parse(libvirt.Virsh("dumpxml", "defined", "--inactive")));
        }
        Assert.Equal(("restart", false), Live("defined"));
        Assert.Equal(("restart", false), Parse(libvirt.Virsh("dumpxml", "defined", "--inactive")));
        libvirt.Virsh("destroy", "defined");
        libvirt.Virsh("undefine", "defined");
    }

    [Fact]
    public void A_guard_that_was_killed_has_left_word_of_the_setting()
    {
        libvirt.StartAlarm("left", "destroy");
        var killed = Listen("left");
        using (var source = Listen("left"))
        {
            libvirt.Tell("left", AlarmGuest.IsaPanic);
            Assert.Equal(CrashAction.Destroy, Next(source, GuestAlarmKind.Panicked).Hold!.Action);
            // Found by a third one, it is still to be ended.
            using var third = Listen("left");
            Assert.Equal(CrashAction.Destroy, Next(third, GuestAlarmKind.Panicked).Hold!.Action);
        }
        TestQemu.WaitFor(() => !libvirt.Virsh("list", "--all", "--name").Split('\n').Contains("left"), "the guest's end");
        killed.Dispose();
    }

    [Fact]
    public void Somebody_who_was_faster_is_respected()
    {
        libvirt.StartAlarm("saved", "destroy");
        using var source = Listen("saved");
        libvirt.Tell("saved", AlarmGuest.IsaPanic);
        var alarm = Next(source, GuestAlarmKind.Panicked);
        libvirt.Virsh("reset", "saved");
        libvirt.Virsh("resume", "saved");
        Assert.Contains("left alone", alarm.Hold!.Apply(null, CancellationToken.None), StringComparison.Ordinal);
        Assert.Equal("running", libvirt.State("saved"));
    }

    [Fact]
    public void Crashes_are_heard_after_the_daemon_came_back_and_from_while_it_was_away()
    {
        libvirt.StartAlarm("outlives", "destroy");
        libvirt.StartAlarm("meanwhile", "destroy");
        using var source = AlarmSources.ForLibvirt(libvirt.Uri, ["outlives", "meanwhile"], new AlarmOptions(), CancellationToken.None);
        libvirt.KillDaemon();
        Assert.Null(Next(source, GuestAlarmKind.Unreachable).Target);
        libvirt.Tell("meanwhile", AlarmGuest.IsaPanic);
        libvirt.RestartDaemon();
        Next(source, GuestAlarmKind.Reachable);
        var first = Next(source, GuestAlarmKind.Panicked);
        Assert.Equal("libvirt:meanwhile", first.Target!.ToString());
        first.Hold!.Apply(null, CancellationToken.None);
        Next(source, GuestAlarmKind.Gone);
        libvirt.Tell("outlives", AlarmGuest.IsaPanic);
        var second = Next(source, GuestAlarmKind.Panicked);
        AssertStandsAndReads(second, "outlives");
        Assert.Equal(CrashAction.Destroy, second.Hold!.Action);
    }

    [Fact]
    public void All_guests_are_heard_and_of_named_ones_only_those()
    {
        libvirt.EndGuests();
        using var all = AlarmSources.ForLibvirt(libvirt.Uri, null, new AlarmOptions { HoldCrashes = false }, CancellationToken.None);
        using var named = Listen("second");
        libvirt.StartAlarm("first", "destroy");
        libvirt.StartAlarm("second", "destroy", devices: "<watchdog model='ib700' action='pause'/>");
        Assert.Equal("libvirt:first", Next(all, GuestAlarmKind.Started).Target!.ToString());
        Assert.Equal("libvirt:second", Next(all, GuestAlarmKind.Started).Target!.ToString());
        Assert.Equal("libvirt:second", Next(named, GuestAlarmKind.Started).Target!.ToString());
        libvirt.Tell("second", AlarmGuest.Watchdog);
        var alarm = Next(named, GuestAlarmKind.Watchdog);
        Assert.Equal(("pause", GuestStanding.Stands), (alarm.WatchdogAction, alarm.Standing));
        Next(all, GuestAlarmKind.Watchdog);
        // Listening, and holding crashes, leaves no mark on a domain.
        var log = File.ReadAllText(Directory.GetFiles(Path.Combine(libvirt.Folder, "cache"), "second.log", SearchOption.AllDirectories).Single());
        Assert.DoesNotContain("tainted", log, StringComparison.Ordinal);
        // Nobody holds this one: libvirt ends it.
        libvirt.Tell("first", AlarmGuest.IsaPanic);
        Assert.Equal(GuestStanding.Ends, Next(all, GuestAlarmKind.Panicked).Standing);
        Next(all, GuestAlarmKind.Gone);
        libvirt.Virsh("destroy", "second");
        Next(all, GuestAlarmKind.Stopped);
        Next(named, GuestAlarmKind.Stopped);
        Assert.Null(named.Next(s_quiet, CancellationToken.None));
    }

    [Fact]
    public void What_can_t_be_guarded_is_refused_in_a_line()
    {
        var driver = Assert.Throws<GuestException>(() => AlarmSources.ForLibvirt("test:///default", null, new AlarmOptions(), CancellationToken.None));
        Assert.Equal(GuestFailure.NotQemu, driver.Failure);
        Assert.Throws<GuestException>(() => AlarmSources.ForLibvirt("qemu:///session?socket=/nowhere", null, new AlarmOptions(), CancellationToken.None));
        libvirt.Start("mute");
        using var source = Listen("mute");
        Assert.Contains(source.Remarks, r => r.Contains("no panic device", StringComparison.Ordinal));
    }
}
