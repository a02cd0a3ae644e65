using System.Net.Sockets;

namespace Forengate.Guests.Tests;

/// <summary>QEMUs that no libvirt knows, as they are listed: by their command lines, and their state by a monitor that nobody else has.</summary>
public sealed class ProcessGuestsTests
{
    private const int SigStop = 19;
    private const int SigCont = 18;

    private static readonly CancellationToken Ct = CancellationToken.None;

    private static ProcessGuest See(TestQemu qemu)
    {
        Assert.Contains(qemu.ProcessId, QemuProcess.Machines());
        return ProcessGuests.At(qemu.ProcessId, [], Ct)!;
    }

    [Fact]
    public void What_the_command_line_says_and_its_state_are_shown()
    {
        using var qemu = new TestQemu(
            "-name", "guest=win-free,debug-threads=on", "-M", "q35,memory-backend=m", "-m", "96,slots=2,maxmem=1G", "-object", "memory-backend-memfd,id=m,size=96M,share=on",
            "-object", "memory-backend-ram,id=d,size=32M", "-device", "pc-dimm,memdev=d", "-smp", "sockets=1,cores=2", "-uuid", "c7a5fdbd-edaf-9455-926a-d65c16db1809");
        var guest = See(qemu);
        Assert.Equal(("win-free", qemu.Target.ToString(), GuestState.Running), (guest.Guest.Name, guest.Guest.Target, guest.Guest.State));
        Assert.Equal((128UL << 20, 1UL << 30, 32UL << 20, 2), (guest.Guest.Memory, guest.Guest.MaxMemory, guest.Guest.MemoryFacts!.Plugged, guest.Guest.VirtualCpus));
        Assert.Equal(("memfd", 1), (guest.Guest.MemoryFacts.Backend, guest.Guest.MemoryFacts.NumaNodes));
        Assert.Equal(new Guid("c7a5fdbd-edaf-9455-926a-d65c16db1809"), guest.Guest.Uuid);
        Assert.Equal(qemu.ProcessId, guest.Access.ProcessId);
        Assert.Null(guest.Access.Needs);
        Assert.NotNull(guest.QemuVersion);
        Assert.Contains(guest.Plan()!.Mode, new CaptureMode?[] { CaptureMode.Snapshot, CaptureMode.StopAndCopy, null });
        qemu.Referee.Stop(Ct);
        // QEMU takes a moment to notice that the one who asked before is gone; until then its monitor is in use.
        TestQemu.WaitFor(() => See(qemu).Guest.State == GuestState.Paused, "the guest to be shown as paused");
        TestQemu.WaitFor(() => See(qemu).Plan()?.Mode == CaptureMode.HoldStopped, "the plan to hold it");
        // A domain's QEMU is the domain.
        Assert.Null(ProcessGuests.At(qemu.ProcessId, [guest.Guest.Uuid], Ct));
    }

    /// <summary>Who has it is not disturbed, and we do not wait: it is known before anybody connects.</summary>
    [Fact]
    public void A_monitor_in_use_is_left_alone()
    {
        using var qemu = new TestQemu("-m", "32");
        using (var other = QmpMonitor.Open(qemu.Socket, Ct))
        {
            var guest = See(qemu);
            Assert.Equal(qemu.Target.ToString(), guest.Guest.Target);
            Assert.Equal(GuestState.Unknown, guest.Guest.State);
            Assert.Contains("its monitor is in use", guest.Access.MonitorNeeds, StringComparison.Ordinal);
            Assert.Contains($"pid:{qemu.ProcessId}", guest.Access.MonitorNeeds, StringComparison.Ordinal);
            Assert.Null(guest.Plan());
            Assert.True(other.QueryState(Ct).Running);
        }
        TestQemu.WaitFor(() => See(qemu).Guest.State == GuestState.Running, "the monitor to be free");
        // One that nobody has been accepted from yet is in use too: we would be behind it.
        WatchdogTests.Signal(qemu.ProcessId, SigStop);
        using (var waiting = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            waiting.Connect(new UnixDomainSocketEndPoint(qemu.Socket));
            Assert.Contains("its monitor is in use", See(qemu).Access.MonitorNeeds, StringComparison.Ordinal);
        }
        WatchdogTests.Signal(qemu.ProcessId, SigCont);
    }

    [Fact]
    public void A_QEMU_that_answers_nothing_is_waited_for_briefly()
    {
        using var qemu = new TestQemu("-m", "32");
        WatchdogTests.Signal(qemu.ProcessId, SigStop);
        var guest = See(qemu);
        Assert.Contains("to answer", guest.Access.MonitorNeeds, StringComparison.Ordinal);
        Assert.Null(guest.Access.MemoryNeeds);
        WatchdogTests.Signal(qemu.ProcessId, SigCont);
        TestQemu.WaitFor(() => See(qemu).Guest.State == GuestState.Running, "the monitor to answer again");
    }

    /// <summary>Of two monitors the free one is taken, as the second of the referee's is.</summary>
    [Fact]
    public void The_free_one_of_several_monitors_is_the_target()
    {
        using var qemu = new TestQemu("-m", "32", "-chardev", "socket,id=third,path=FOLDER/third,server=on,wait=off", "-mon", "chardev=third,mode=control");
        using var first = QmpMonitor.Open(qemu.Socket, Ct);
        var guest = See(qemu);
        Assert.Equal($"qmp:{qemu.Folder}/third", guest.Guest.Target);
        Assert.Equal(GuestState.Running, guest.Guest.State);
    }

    [Fact]
    public void One_that_is_no_roots_is_seen_and_the_rights_that_lack_are_named()
    {
        using var qemu = TestQemu.Unprivileged(null, "-m", "32");
        var guest = See(qemu);
        Assert.Equal((qemu.Target.ToString(), GuestState.Running), (guest.Guest.Target, guest.Guest.State));
        Assert.Null(guest.Access.Needs);
    }

    [Fact]
    public void Nothing_else_is_taken_for_a_machine()
    {
        var machines = QemuProcess.Machines().ToList();
        Assert.DoesNotContain(Environment.ProcessId, machines);
        Assert.DoesNotContain(1, machines);
    }
}
