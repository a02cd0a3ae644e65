using Forengate.Memory;
using Forengate.Testing.Devices;

namespace Forengate.Guests.Tests;

/// <summary>Memory that is plugged and unplugged while a guest runs: each view holds what QEMU has at its instant, between captures and in the middle of one.</summary>
public sealed class PlugTests
{
    private const ulong Base = 0x1_0000_0000;
    private const ulong DimmSize = 64UL << 20;
    private static readonly CancellationToken Ct = CancellationToken.None;

    /// <summary>Room for DIMMs, and a way to play the guest's ACPI driver.</summary>
    internal static TestQemu Start(params string[] more) => new(
        ["-M", "q35", "-m", "96M,slots=8,maxmem=4G", "-kernel", "IMAGE", .. GuestBus.Arguments("FOLDER/bus"), .. more]);

    internal static GuestBus Bus(TestQemu qemu) => new(Path.Combine(qemu.Folder, "bus"));

    /// <summary>A DIMM of 64 MiB in the slot of the same number, at 4 GiB and 128 MiB a number.</summary>
    internal static ulong Plug(TestQemu qemu, int number, string backend = "memory-backend-ram")
    {
        var address = Base + ((ulong)number << 27);
        qemu.Referee.Qmp(
            "object-add", w =>
            {
                w.WriteString("qom-type", backend);
                w.WriteString("id", $"mem{number}");
                w.WriteNumber("size", DimmSize);
                if (backend == "memory-backend-memfd")
                    w.WriteBoolean("share", true);
            }, Ct);
        qemu.Referee.Qmp(
            "device_add", w =>
            {
                w.WriteString("driver", "pc-dimm");
                w.WriteString("id", $"dimm{number}");
                w.WriteString("memdev", $"mem{number}");
                w.WriteNumber("slot", number);
                w.WriteNumber("addr", address);
            }, Ct);
        return address;
    }

    /// <summary>Asks for a DIMM back; the guest gives it.</summary>
    internal static void Unplug(TestQemu qemu, GuestBus bus, int number)
    {
        qemu.Referee.Qmp("device_del", w => w.WriteString("id", $"dimm{number}"), Ct);
        MemorySlots.Give(bus, number);
        TestQemu.WaitFor(() => !Devices(qemu).Contains($"dimm{number}"), "the DIMM to go");
        qemu.Referee.Qmp("object-del", w => w.WriteString("id", $"mem{number}"), Ct);
    }

    private static List<string?> Devices(TestQemu qemu) =>
        [.. qemu.Referee.Qmp("query-memory-devices", null, Ct).Items().Select(device => device.TryGetObject("data", out var data) ? data.Text("id") : null)];

    /// <summary>What lies above 4 GiB, as a view has it.</summary>
    internal static List<PhysicalRange> High(PhysicalMemory memory) => [.. memory.Ranges.Where(range => range.Start.Value >= Base)];

    private static PhysicalRange Dimm(int number) => new(new PhysicalAddress(Base + ((ulong)number << 27)), DimmSize);

    private static View Take(TestQemu qemu, CaptureMode mode, IProgress<CaptureProgress>? progress = null) => LiveCapture.Take(qemu.Target, TestQemu.Options(mode), progress, Ct);

    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    [InlineData(CaptureMode.HoldStopped)]
    [InlineData(CaptureMode.Live)]
    public void Between_captures_each_has_what_there_is(CaptureMode mode)
    {
        using var qemu = Start();
        using var bus = Bus(qemu);
        qemu.WaitForStamps();
        using (var view = Take(qemu, mode))
            Assert.Empty(High(view.Memory));

        var first = Plug(qemu, 0);
        var second = Plug(qemu, 1, "memory-backend-memfd");
        bus.Write64(first + DimmSize - 8, 0x1111_2222_3333_4444);
        bus.Write64(second, 0x5555_6666_7777_8888);
        using (var view = Take(qemu, mode))
        {
            Assert.Equal([Dimm(0), Dimm(1)], High(view.Memory));
            Assert.Empty(view.Origin.Damage);
            Assert.True(view.Memory.TryRead(new PhysicalAddress(first + DimmSize - 8), out ulong inFirst));
            Assert.True(view.Memory.TryRead(new PhysicalAddress(second), out ulong inSecond));
            Assert.Equal(0x1111_2222_3333_4444UL, inFirst);
            Assert.Equal(0x5555_6666_7777_8888UL, inSecond);
            AssertInstant(view, mode);
        }

        Unplug(qemu, bus, 0);
        using (var view = Take(qemu, mode))
        {
            Assert.Equal([Dimm(1)], High(view.Memory));
            Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(first)));
            Assert.Empty(view.Origin.Damage);
            AssertInstant(view, mode);
        }
        Assert.True(qemu.IsRunning);
    }

    [Theory]
    [InlineData(CaptureMode.Snapshot, true)]
    [InlineData(CaptureMode.StopAndCopy, true)]
    [InlineData(CaptureMode.Snapshot, false)]
    [InlineData(CaptureMode.StopAndCopy, false)]
    public void What_comes_or_goes_between_the_plan_and_the_stop_is_noticed(CaptureMode mode, bool comes)
    {
        using var qemu = Start();
        using var bus = Bus(qemu);
        qemu.WaitForStamps();
        if (!comes)
            Plug(qemu, 0);
        var once = new Once(CapturePhase.PreparingMemory, () =>
        {
            if (comes)
                Plug(qemu, 0);
            else
                Unplug(qemu, bus, 0);
        });
        using var view = Take(qemu, mode, once);
        Assert.True(once.Done);
        Assert.Equal(comes ? [Dimm(0)] : [], High(view.Memory));
        Assert.Empty(view.Origin.Damage);
        AssertInstant(view, mode);
        SnapshotTests.AssertSound(qemu);
    }

    [Fact]
    public void A_guest_whose_memory_changes_each_time_is_refused()
    {
        using var qemu = Start();
        qemu.WaitForStamps();
        var number = 0;
        var each = new Each(CapturePhase.PreparingMemory, total => Plug(qemu, number++));
        var refused = Assert.Throws<GuestException>(() => Take(qemu, CaptureMode.StopAndCopy, each));
        Assert.Equal(GuestFailure.BadState, refused.Failure);
        Assert.True(qemu.IsRunning);
    }

    /// <summary>QEMU lets nobody plug or unplug while it migrates, and a snapshot is a migration to it.</summary>
    [Fact]
    public void During_a_snapshot_QEMU_refuses_DIMMs()
    {
        using var qemu = Start();
        qemu.WaitForStamps();
        Plug(qemu, 0);
        var answers = new List<string>();
        var meanwhile = new Meanwhile(qemu, () =>
        {
            answers.Add(Assert.Throws<QmpRefusedException>(() => qemu.Referee.Qmp("device_del", w => w.WriteString("id", "dimm0"), Ct)).Message);
            answers.Add(Assert.Throws<QmpRefusedException>(() => Plug(qemu, 1)).Message);
        });
        using var view = Take(qemu, CaptureMode.Snapshot, meanwhile);
        meanwhile.AssertDone();
        Assert.All(answers, answer => Assert.Contains("not allowed while migrating", answer, StringComparison.Ordinal));
        Assert.Equal([Dimm(0)], High(view.Memory));
        AssertInstant(view, CaptureMode.Snapshot);
        SnapshotTests.AssertSound(qemu);
    }

    /// <summary>A DIMM that was asked back before the snapshot can go during it, by the guest's own hand: QEMU does not hold it.</summary>
    [Fact]
    public void A_DIMM_given_back_during_a_snapshot_is_noticed()
    {
        using var qemu = Start();
        using var bus = Bus(qemu);
        qemu.WaitForStamps();
        Plug(qemu, 0);
        qemu.Referee.Qmp("device_del", w => w.WriteString("id", "dimm0"), Ct);
        var meanwhile = new Meanwhile(qemu, () => MemorySlots.Give(bus, 0));
        using var view = Take(qemu, CaptureMode.Snapshot, meanwhile);
        meanwhile.AssertDone();
        Assert.Empty(Devices(qemu));
        Assert.Empty(High(view.Memory));
        AssertInstant(view, CaptureMode.Snapshot);
        SnapshotTests.AssertSound(qemu);
    }

    /// <summary>
    /// What comes while the guest stands still came after the instant. QEMU is asked for its memory map while the copying goes on: a module that is there by then has the copy begin anew, with it.
    /// </summary>
    [Theory]
    [InlineData(CaptureMode.StopAndCopy)]
    [InlineData(CaptureMode.HoldStopped)]
    public void A_DIMM_plugged_while_the_guest_stands_still_is_not_in_the_view(CaptureMode mode)
    {
        using var qemu = Start();
        qemu.WaitForStamps();
        Plug(qemu, 0);
        var begun = 0;
        var plugged = new Once(CapturePhase.Copying, () =>
        {
            // Longer than that question takes; the copy waits.
            Thread.Sleep(500);
            Plug(qemu, 1);
        });
        var each = new Each(CapturePhase.PreparingMemory, _ => begun++);
        using (var view = Take(qemu, mode, new Both(plugged, each)))
        {
            if (mode == CaptureMode.HoldStopped)
                Plug(qemu, 1);
            Assert.Equal(begun > 1 ? [Dimm(0), Dimm(1)] : [Dimm(0)], High(view.Memory));
            Assert.True(view.Memory.TryRead(new PhysicalAddress(Base), out ulong _));
            AssertInstant(view, mode);
        }
        using var next = Take(qemu, mode);
        Assert.Equal([Dimm(0), Dimm(1)], High(next.Memory));
    }

    [Fact]
    public void A_live_view_says_that_memory_changed_under_it()
    {
        using var qemu = Start();
        using var bus = Bus(qemu);
        qemu.WaitForStamps();
        Plug(qemu, 0);
        var view = Take(qemu, CaptureMode.Live);
        Unplug(qemu, bus, 0);
        view.Dispose();
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("plugged or unplugged", StringComparison.Ordinal));
    }

    private static void AssertInstant(View view, CaptureMode mode)
    {
        if (mode == CaptureMode.Live)
            return;
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    /// <summary>Does something in the middle of a capture, at its first word of a phase.</summary>
    internal sealed class Once(CapturePhase phase, Action action) : IProgress<CaptureProgress>
    {
        private int _done;

        public bool Done => _done != 0;

        public void Report(CaptureProgress value)
        {
            if (value.Phase == phase && Interlocked.Exchange(ref _done, 1) == 0)
                action();
        }
    }

    /// <summary>
    /// Does something while pages are copied. The copying goes on meanwhile, since QEMU may answer only when somebody reads on (a page that is written to must be sent before), but
    /// slowly: it is not over before the thing is done.
    /// </summary>
    internal sealed class Meanwhile(TestQemu qemu, Action action) : IProgress<CaptureProgress>
    {
        private const long Slow = 4 << 20;
        private static readonly TimeSpan s_ahead = TimeSpan.FromSeconds(1);
        private Task? _task;

        public void Report(CaptureProgress value)
        {
            if (value.Phase != CapturePhase.Copying || _task is not null)
                return;
            _task = Task.Run(() =>
            {
                Limit(Slow);
                try
                {
                    action();
                }
                finally
                {
                    Limit(long.MaxValue);
                }
            });
            // Not for long: the watchdog ends who does not read for 3 s.
            _ = Task.WaitAny([_task], s_ahead);
        }

        /// <summary>Waits until it is done, and throws what it threw.</summary>
        public void AssertDone()
        {
            Assert.NotNull(_task);
            Assert.Same(_task, Task.WhenAny(_task, Task.Delay(TimeSpan.FromSeconds(30))).GetAwaiter().GetResult());
            _task.GetAwaiter().GetResult();
        }

        private void Limit(long bandwidth) => qemu.Referee.Qmp("migrate-set-parameters", w => w.WriteNumber("max-bandwidth", bandwidth), Ct);
    }

    /// <summary>Does something at the end of a phase, each time there is one.</summary>
    private sealed class Each(CapturePhase phase, Action<ulong> action) : IProgress<CaptureProgress>
    {
        public void Report(CaptureProgress value)
        {
            if (value.Phase == phase && value.Bytes == value.TotalBytes)
                action(value.TotalBytes);
        }
    }

    private sealed class Both(IProgress<CaptureProgress> first, IProgress<CaptureProgress> second) : IProgress<CaptureProgress>
    {
        public void Report(CaptureProgress value)
        {
            first.Report(value);
            second.Report(value);
        }
    }
}
