namespace Forengate.Guests.Tests;

/// <summary>A guard that is killed leaves no domain of libvirt's changed, without anybody running a repair.</summary>
public sealed class KeeperLibvirtTests(TestLibvirt libvirt) : IClassFixture<TestLibvirt>, IDisposable
{
    private static readonly CancellationToken Ct = CancellationToken.None;

    /// <summary>Guests that wait for a letter keep a core busy each.</summary>
    public void Dispose() => libvirt.EndGuests();

    [Fact]
    public void On_crash_is_put_back_and_the_note_taken_away_when_the_guard_is_killed()
    {
        libvirt.StartAlarm("one", "restart");
        libvirt.StartAlarm("two", "destroy", persistent: true);
        libvirt.StartAlarm("kept", "preserve");
        using var guard = KeeperTests.StartGuard(GuardVictim.Kept, libvirt.Uri, "one", "two", "kept");
        AwaitHeld(guard.Id, CrashAction.Restart, "one");
        AwaitHeld(guard.Id, CrashAction.Destroy, "two");
        Assert.Single(KeeperTests.KeepersOf(guard.Id));
        var said = KeeperTests.KillAndAwaitKeeper(guard);
        AssertPutBack(CrashAction.Restart, "one");
        AssertPutBack(CrashAction.Destroy, "two");
        AssertPutBack(CrashAction.Preserve, "kept");
        Assert.Equal(
            ["forengate: watchdog: its guard has ended: libvirt:one: put its on_crash back to restart", "forengate: watchdog: its guard has ended: libvirt:two: put its on_crash back to destroy"],
            said.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
        Assert.Empty(Repair("one").Found);
    }

    [Fact]
    public void Without_a_keeper_it_stays()
    {
        libvirt.StartAlarm("alone", "restart");
        using var guard = KeeperTests.StartGuard(GuardVictim.Alone, libvirt.Uri, "alone");
        AwaitHeld(guard.Id, CrashAction.Restart, "alone");
        Assert.Empty(KeeperTests.KillAndAwaitKeeper(guard));
        Assert.Equal((CrashAction.Preserve, CrashAction.Restart), (Live("alone").OnCrash, Live("alone").Noted));
        Assert.Equal(["put its on_crash back to restart"], Repair("alone").Done);
    }

    [Fact]
    public async Task A_daemon_that_is_not_there_is_waited_for()
    {
        libvirt.StartAlarm("later", "restart");
        using var guard = KeeperTests.StartGuard(GuardVictim.Kept, libvirt.Uri, "later");
        AwaitHeld(guard.Id, CrashAction.Restart, "later");
        var keeper = Assert.Single(KeeperTests.KeepersOf(guard.Id));
        libvirt.KillDaemon();
        var said = Task.Run(() => KeeperTests.KillAndAwaitKeeper(guard), Ct);
        // It has tried in vain by then.
        Thread.Sleep(TimeSpan.FromSeconds(6));
        Assert.True(WatchdogTests.IsAlive(keeper));
        libvirt.RestartDaemon();
        Assert.Contains("libvirt:later: put its on_crash back to restart", await said, StringComparison.Ordinal);
        AssertPutBack(CrashAction.Restart, "later");
    }

    [Fact]
    public void A_guest_that_crashed_under_the_guard_is_left_standing()
    {
        libvirt.StartAlarm("stands", "destroy");
        using var guard = KeeperTests.StartGuard(GuardVictim.Kept, libvirt.Uri, "stands");
        AwaitHeld(guard.Id, CrashAction.Destroy, "stands");
        // Firmware that boots throws away what has come by then.
        TestQemu.WaitFor(
            () =>
            {
                libvirt.Tell("stands", AlarmGuest.IsaPanic);
                return libvirt.State("stands") == "crashed";
            },
            "the panic");
        var said = KeeperTests.KillAndAwaitKeeper(guard);
        Assert.Contains("libvirt:stands: put its on_crash back to destroy; the guest has crashed and stands still", said, StringComparison.Ordinal);
        Assert.Contains("'virsh destroy stands'", said, StringComparison.Ordinal);
        Assert.Equal("crashed", libvirt.State("stands"));
        AssertPutBack(CrashAction.Destroy, "stands");
    }

    [Fact]
    public void A_guard_that_lives_keeps_what_both_had()
    {
        libvirt.StartAlarm("both", "restart");
        using var guard = KeeperTests.StartGuard(GuardVictim.Kept, libvirt.Uri, "both");
        AwaitHeld(guard.Id, CrashAction.Restart, "both");
        using (var living = AlarmSources.ForLibvirt(libvirt.Uri, ["both"], new AlarmOptions(), Ct))
        {
            TestQemu.WaitFor(() => living.Remarks.Any(r => r.Contains($"another guard (process {guard.Id})", StringComparison.Ordinal)), "the other guard to be told of");
            KeeperTests.KillAndAwaitKeeper(guard);
            // Whichever of the two was first.
            TestQemu.WaitFor(() => Live("both") is { OnCrash: CrashAction.Preserve, Noted: CrashAction.Restart, Owner.IsSelf: true }, "the guest to be taken over");
        }
        AssertPutBack(CrashAction.Restart, "both");
    }

    [Fact]
    public void A_guard_that_took_a_guest_over_looks_once_more()
    {
        const int Attempts = 5;
        for (var attempt = 1; ; attempt++)
        {
            Assert.True(attempt <= Attempts, "what was undone is not held again");
            var name = $"again{attempt}";
            libvirt.StartAlarm(name, "restart");
            using var guard = KeeperTests.StartGuard(GuardVictim.Alone, libvirt.Uri, name);
            AwaitHeld(guard.Id, CrashAction.Restart, name);
            using (var living = AlarmSources.ForLibvirt(libvirt.Uri, [name], new AlarmOptions(), Ct))
            using (var connection = LibvirtConnection.Open(libvirt.Uri, readOnly: false, Ct))
            using (var domain = connection.Find(name, Ct)!)
            {
                TestQemu.WaitFor(() => living.Remarks.Any(r => r.Contains($"another guard (process {guard.Id})", StringComparison.Ordinal)), "the other guard to be told of");
                KeeperTests.KillAndAwaitKeeper(guard);
                TestQemu.WaitFor(() => CrashSetting.Read(domain.Describe()) is { OnCrash: CrashAction.Preserve, Owner.IsSelf: true }, "the guest to be taken over");
                domain.SetOnCrash(CrashAction.Restart);
                domain.ForgetNote();
                for (var until = Environment.TickCount64 + 10_000; Environment.TickCount64 < until; Thread.Sleep(50))
                {
                    if (Live(name) is { OnCrash: CrashAction.Preserve, Noted: CrashAction.Restart, Owner.IsSelf: true })
                        return;
                }
                // A busy host: it had looked before we undid it.
            }
        }
    }

    [Theory]
    [InlineData(CrashAction.Preserve, false)]
    [InlineData(CrashAction.Restart, true)]
    [InlineData(CrashAction.Restart, false)]
    public void What_a_keeper_undid_while_it_was_taken_over_is_held_again(CrashAction onCrash, bool isNoted)
    {
        var name = $"raced-{onCrash}-{isNoted}";
        libvirt.StartAlarm(name, "restart");
        using var guard = KeeperTests.StartGuard(GuardVictim.Alone, libvirt.Uri, name);
        AwaitHeld(guard.Id, CrashAction.Restart, name);
        KeeperTests.KillAndAwaitKeeper(guard);
        using (var connection = LibvirtConnection.Open(libvirt.Uri, readOnly: false, Ct))
        using (var domain = connection.Find(name, Ct)!)
        {
            var first = DomainLook.Take(connection, domain.Uuid, hold: true, held: null);
            Assert.True(first is { IsHeld: true, TookOver: true });
            AssertHeldByUs(name);
            // As one leaves it that had looked before us, and writes after us.
            if (onCrash != CrashAction.Preserve)
                domain.SetOnCrash(onCrash);
            if (!isNoted)
                domain.ForgetNote();
            var again = DomainLook.Take(connection, domain.Uuid, hold: true, first.Setting.Wanted);
            Assert.True(again is { IsHeld: true, TookOver: false });
            AssertHeldByUs(name);
            DomainLook.PutBack(connection, domain.Uuid);
        }
        AssertPutBack(CrashAction.Restart, name);
    }

    [Fact]
    public void A_guard_that_ends_in_order_puts_back_by_itself_and_its_keeper_ends_in_silence()
    {
        libvirt.StartAlarm("order", "restart");
        using var guard = KeeperTests.StartGuard(GuardVictim.Kept, libvirt.Uri, "order");
        AwaitHeld(guard.Id, CrashAction.Restart, "order");
        var keeper = Assert.Single(KeeperTests.KeepersOf(guard.Id));
        guard.StandardInput.Close();
        Assert.Equal("ended", guard.StandardOutput.ReadLine());
        Assert.Empty(guard.StandardError.ReadToEnd());
        guard.WaitForExit();
        Assert.False(WatchdogTests.IsAlive(keeper));
        AssertPutBack(CrashAction.Restart, "order");
    }

    private void AwaitHeld(int guard, CrashAction wanted, string name) =>
        TestQemu.WaitFor(() => Live(name) is { OnCrash: CrashAction.Preserve } live && live.Noted == wanted && live.Owner?.ProcessId == guard, $"{name} to be held");

    private void AssertHeldByUs(string name) => Assert.True(Live(name) is { OnCrash: CrashAction.Preserve, Noted: CrashAction.Restart, Owner.IsSelf: true });

    private void AssertPutBack(CrashAction action, string name)
    {
        Assert.Equal((action, null, null), (Live(name).OnCrash, Live(name).Noted, Live(name).Owner));
        Assert.DoesNotContain("guarded", libvirt.Virsh("dumpxml", name), StringComparison.Ordinal);
    }

    private CrashSetting Live(string name) => CrashSetting.Read(libvirt.Virsh("dumpxml", name));

    private RepairReport Repair(string name) => GuestRepair.Run(new GuestTarget(GuestTargetKind.Libvirt, name), new RepairOptions { ConnectUri = libvirt.Uri }, Ct);
}
