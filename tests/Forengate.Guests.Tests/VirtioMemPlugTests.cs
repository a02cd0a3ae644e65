using Forengate.Memory;
using Forengate.Testing.Devices;

namespace Forengate.Guests.Tests;

/// <summary>virtio-mem: the guest takes and gives back blocks as it likes. Views hold the blocks that are plugged at their instant, and mark the others.</summary>
public sealed class VirtioMemPlugTests
{
    private const ulong MiB = 1 << 20;
    private const ulong Region = 64 * MiB;
    private const ulong DriverPage = 0x300000;
    private static readonly CancellationToken Ct = CancellationToken.None;

    private static TestQemu Start(string backend)
    {
        var qemu = PlugTests.Start(
            "-object", backend == "memfd" ? $"memory-backend-memfd,id=vmem0,size={Region},share=on" : $"memory-backend-ram,id=vmem0,size={Region}",
            "-device", $"virtio-mem-pci,id=vm0,memdev=vmem0,requested-size=0,block-size={2 * MiB}");
        qemu.WaitForStamps();
        return qemu;
    }

    /// <summary>The administrator's word: what the guest shall have.</summary>
    private static void Request(TestQemu qemu, ulong bytes) => qemu.Referee.Qmp(
        "qom-set", w =>
        {
            w.WriteString("path", "/machine/peripheral/vm0");
            w.WriteString("property", "requested-size");
            w.WriteNumber("value", bytes);
        }, Ct);

    private static View Take(TestQemu qemu, CaptureMode mode, IProgress<CaptureProgress>? progress = null) => LiveCapture.Take(qemu.Target, TestQemu.Options(mode), progress, Ct);

    /// <summary>Blocks of the region that a view can read, by number.</summary>
    private static List<int> Readable(PhysicalMemory memory, VirtioMem driver)
    {
        var found = new List<int>();
        for (var block = 0; block < (int)(Region / driver.BlockSize); block++)
        {
            var start = new PhysicalAddress(driver.Address + (ulong)block * driver.BlockSize);
            var first = memory.RunAt(start, driver.BlockSize);
            for (var at = start; at < start + driver.BlockSize;)
            {
                var run = memory.RunAt(at, start + driver.BlockSize - at);
                Assert.Equal(first.IsReadable, run.IsReadable);
                Assert.True(run.IsReadable || run.State == PageState.Ballooned, $"block {block} is {run.State}");
                at = run.Range.End;
            }
            if (first.IsReadable)
                found.Add(block);
        }
        return found;
    }

    [Theory]
    [InlineData(CaptureMode.Snapshot, "ram")]
    [InlineData(CaptureMode.Snapshot, "memfd")]
    [InlineData(CaptureMode.StopAndCopy, "ram")]
    [InlineData(CaptureMode.StopAndCopy, "memfd")]
    [InlineData(CaptureMode.HoldStopped, "ram")]
    public void Each_view_has_the_blocks_of_its_instant(CaptureMode mode, string backend)
    {
        using var qemu = Start(backend);
        using var bus = PlugTests.Bus(qemu);
        var driver = new VirtioMem(bus, DriverPage);
        Assert.Equal(2 * MiB, driver.BlockSize);
        using (var none = Take(qemu, mode))
        {
            Assert.Empty(Readable(none.Memory, driver));
            Assert.Contains(none.Origin.Remarks, remark => remark.Contains("0 of 64 MiB", StringComparison.Ordinal));
        }

        Request(qemu, 32 * MiB);
        Assert.Equal(0, driver.Take(1, 2));
        Assert.Equal(0, driver.Take(5));
        Assert.Equal(0, driver.Take(31));
        // Block 5 holds something, the others were never touched.
        bus.Write64(driver.Address + 5 * driver.BlockSize + 0x1000, 0x0123_4567_89AB_CDEF);
        using (var view = Take(qemu, mode))
        {
            Assert.Equal([1, 2, 5, 31], Readable(view.Memory, driver));
            Assert.True(view.Memory.TryRead(new PhysicalAddress(driver.Address + 5 * driver.BlockSize + 0x1000), out ulong value));
            Assert.Equal(0x0123_4567_89AB_CDEFUL, value);
            Assert.Empty(view.Origin.Damage);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            Assert.Contains(view.Origin.Remarks, remark => remark.Contains("8 of 64 MiB", StringComparison.Ordinal));
        }

        Request(qemu, 0);
        Assert.Equal(0, driver.Give(5));
        Assert.Equal(0, driver.Give(1));
        using (var view = Take(qemu, mode))
        {
            Assert.Equal([2, 31], Readable(view.Memory, driver));
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        }
        SnapshotTests.AssertSound(qemu);
    }

    /// <summary>One block goes and another comes: as many are plugged as before, and other ones.</summary>
    [Theory]
    [InlineData(CaptureMode.Snapshot)]
    [InlineData(CaptureMode.StopAndCopy)]
    public void Blocks_that_change_between_the_plan_and_the_stop_are_noticed(CaptureMode mode)
    {
        using var qemu = Start("ram");
        using var bus = PlugTests.Bus(qemu);
        var driver = new VirtioMem(bus, DriverPage);
        Request(qemu, 32 * MiB);
        Assert.Equal(0, driver.Take(3));
        bus.Write64(driver.Address + 3 * driver.BlockSize, 3);
        var once = new PlugTests.Once(CapturePhase.PreparingMemory, () =>
        {
            Assert.Equal(0, driver.Take(7));
            Assert.Equal(0, driver.Give(3));
        });
        using var view = Take(qemu, mode, once);
        Assert.True(once.Done);
        Assert.Equal([7], Readable(view.Memory, driver));
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    /// <summary>QEMU answers "not now" to a guest that asks for blocks during a migration, and a snapshot is one.</summary>
    [Fact]
    public void During_a_snapshot_QEMU_gives_and_takes_no_blocks()
    {
        using var qemu = Start("ram");
        using var bus = PlugTests.Bus(qemu);
        var driver = new VirtioMem(bus, DriverPage);
        Request(qemu, 32 * MiB);
        Assert.Equal(0, driver.Take(3));
        var answers = new List<int>();
        var meanwhile = new PlugTests.Meanwhile(qemu, () => answers.AddRange([driver.Take(4), driver.Give(3)]));
        using var view = Take(qemu, CaptureMode.Snapshot, meanwhile);
        meanwhile.AssertDone();
        const int Busy = 2;
        Assert.Equal([Busy, Busy], answers);
        Assert.Equal([3], Readable(view.Memory, driver));
        SnapshotTests.AssertSound(qemu);
    }

    /// <summary>A running guest is not asked: blocks that hold something are known, those never touched hold nothing.</summary>
    [Fact]
    public void A_live_view_has_the_blocks_that_hold_something()
    {
        using var qemu = Start("ram");
        using var bus = PlugTests.Bus(qemu);
        var driver = new VirtioMem(bus, DriverPage);
        Request(qemu, 32 * MiB);
        Assert.Equal(0, driver.Take(3, 2));
        bus.Write64(driver.Address + 4 * driver.BlockSize + 8, 44);
        using var view = Take(qemu, CaptureMode.Live);
        Assert.Equal([4], Readable(view.Memory, driver));
        Assert.True(qemu.IsRunning);
    }
}
