using Forengate.Memory;
using Forengate.Testing.Devices;

namespace Forengate.Guests.Tests;

/// <summary>What the host has swapped out is read while the guest runs, not while it stands still, and its room is counted.</summary>
public sealed class SwappedTests
{
    private const ulong Cold = 0x4000000;
    private const ulong Length = 16UL << 20;

    /// <summary>pvpanic's, on ISA.</summary>
    private const ushort PanicPort = 0x505;

    private static readonly CancellationToken Ct = CancellationToken.None;

    [Theory]
    [InlineData("ram")]
    [InlineData("memfd")]
    public void It_is_there_when_the_guest_is_stopped(string backend)
    {
        using var guest = new ColdGuest(backend);
        var (qemu, map) = (guest.Qemu, guest.Map);
        guest.Push();
        var (atStop, running) = (ulong.MaxValue, false);
        var progress = new Watching(value =>
        {
            if (value.Phase == CapturePhase.CopyingAhead)
                running = qemu.IsRunning;
            else if (value.Phase == CapturePhase.Copying && atStop == ulong.MaxValue)
                atStop = RamUse.SwappedOf(map, qemu.ProcessId);
        });
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), progress, Ct);
        Assert.True(running);
        Assert.Equal(0UL, atStop);
        Assert.Contains(view.Origin.Remarks, remark => remark == "16 MiB of the guest's memory lay in the host's swap, and were read before it was stopped");
        AssertWhole(view);
    }

    [Theory]
    [InlineData("ram")]
    [InlineData("memfd")]
    public void Its_room_is_counted_and_the_plan_says_so(string backend)
    {
        using var guest = new ColdGuest(backend);
        var (qemu, map) = (guest.Qemu, guest.Map);
        var enough = TestQemu.Options(CaptureMode.StopAndCopy) with { AvailableMemory = map.Size + CopyRoom.Reserve };
        var before = LiveCapture.Plan(qemu.Target, enough, Ct);
        Assert.Equal(0UL, before.Ways[1].Spilled);
        Assert.DoesNotContain(before.Facts, fact => fact.Contains("swap", StringComparison.Ordinal));
        guest.Push();
        var plan = LiveCapture.Plan(qemu.Target, enough, Ct);
        // The trial may have read a part.
        Assert.Contains(plan.Facts, fact => fact.Contains("MiB of the guest's memory lie in the host's swap", StringComparison.Ordinal));
        Assert.All(plan.Ways.Take(2), (way, i) => Assert.InRange(way.HostMemory, before.Ways[i].HostMemory + (8UL << 20), ulong.MaxValue));
        Assert.NotEqual(0UL, plan.Ways[1].Spilled);
    }

    /// <summary>
    /// A control group that is full and is given more of QEMU's pages has QEMU killed: five of eight first copies ended so. Nothing is read then but what a look needs, and the line says what would allow it.
    /// </summary>
    [Fact]
    public void A_guest_that_reading_would_have_killed_is_left_alone()
    {
        using var group = TestControlGroup.Require();
        using var guest = new ColdGuest("ram", group.Wrapper);
        var (qemu, map) = (guest.Qemu, guest.Map);
        var swapped = 0UL;
        group.Squeeze(() => (swapped = RamUse.SwappedOf(map, qemu.ProcessId)) >= Length);
        foreach (var mode in (CaptureMode[])[CaptureMode.StopAndCopy, CaptureMode.Snapshot, CaptureMode.Auto, CaptureMode.Live])
        {
            var refused = Assert.Throws<GuestException>(() => LiveCapture.Take(qemu.Target, TestQemu.Options(mode) with { ReadsAll = true }, null, Ct));
            Assert.Equal(GuestFailure.NoMemory, refused.Failure);
            Assert.Contains("memory.max", refused.Message, StringComparison.Ordinal);
            // No way out that would be refused, or worse.
            Assert.DoesNotContain("live reads", refused.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("read it live", refused.Message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', refused.Message);
        }
        Assert.Throws<GuestException>(() => ProcessCapture.Take(new ProcessTarget(qemu.ProcessId), null, readsAll: true));
        var plan = LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.Auto), Ct);
        Assert.Null(plan.Mode);
        Assert.All(plan.Ways, way => Assert.NotNull(way.Obstacle));
        // A look at it is no harm, and none of these has fetched anything.
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Live), null, Ct))
            Assert.Contains(view.Origin.Remarks, remark => remark.Contains("memory.max", StringComparison.Ordinal));
        Assert.InRange(RamUse.SwappedOf(map, qemu.ProcessId), Length / 2, ulong.MaxValue);
        Assert.True(qemu.IsRunning);
        Assert.Null(qemu.Referee.LastStopByEvents);
        // Standing still changes nothing of that, but a guest that has crashed has nothing more to lose.
        qemu.Referee.Stop(Ct);
        Assert.Throws<GuestException>(() => LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto) with { ReadsAll = true }, null, Ct));
        Assert.Null(LiveCapture.Plan(qemu.Target, TestQemu.Options(CaptureMode.Auto), Ct).Mode);
        qemu.Referee.Continue();
        guest.Bus.Out8(PanicPort, 1);
        TestQemu.WaitFor(() => qemu.Referee.QueryState(Ct).HasCrashed, "the guest's panic");
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto) with { ReadsAll = true }, null, Ct))
            Assert.Contains(view.Origin.Remarks, remark => remark.Contains("memory.max", StringComparison.Ordinal));
        group.Release();
        using (var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Auto) with { ReadsAll = true }, null, Ct))
        {
            AssertWhole(view);
            Assert.DoesNotContain(view.Origin.Remarks, remark => remark.Contains("memory.max", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void What_lies_there_again_is_said()
    {
        Assert.Equal("16 MiB of the guest's memory lay in the host's swap, and were read before it was stopped", LiveCapture.SwapRemark(16 << 20, 1000));
        Assert.EndsWith("; 3 MiB lay there again, and it stood still longer for them", LiveCapture.SwapRemark(16 << 20, 3 << 20), StringComparison.Ordinal);
    }

    /// <summary>A snapshot reads it while the guest runs, by itself.</summary>
    [Fact]
    public void A_snapshot_has_it_too()
    {
        using var guest = new ColdGuest("ram");
        guest.Push();
        using var view = LiveCapture.Take(guest.Qemu.Target, TestQemu.Options(CaptureMode.Snapshot), null, Ct);
        AssertWhole(view);
        SnapshotTests.AssertSound(guest.Qemu);
    }

    private static void AssertWhole(View view)
    {
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        for (var page = Cold; page < Cold + Length; page += Page.Size)
        {
            Assert.True(view.Memory.TryRead(new PhysicalAddress(page + 8), out ulong value));
            Assert.Equal(page | 1, value);
        }
    }

    /// <summary>A guest of 96 MiB of which 16 hold something and are not used, and a host that may swap.</summary>
    private sealed class ColdGuest : IDisposable
    {
        private readonly TestSwap _swap = TestSwap.Require(256);

        public ColdGuest(string backend, params string[] wrapper)
        {
            try
            {
                string[] memory = backend == "memfd" ? ["-object", "memory-backend-memfd,id=ram0,size=96M,share=on", "-machine", "memory-backend=ram0"] : [];
                Qemu = TestQemu.Within(
                    wrapper, ["-M", "q35", "-m", "96M", "-kernel", "IMAGE", "-device", "pvpanic", "-action", "panic=pause", .. GuestBus.Arguments("FOLDER/bus"), .. memory]);
                Qemu.WaitForStamps();
                Bus = PlugTests.Bus(Qemu);
                for (var page = Cold; page < Cold + Length; page += Page.Size)
                    Bus.Write64(page + 8, page | 1);
                // The monitor takes one client: it is free again afterwards.
                using var session = GuestSession.Open(Qemu.Target, null, Ct);
                Map = session.Map;
            }
            catch
            {
                // A host keeps its swap otherwise.
                Dispose();
                throw;
            }
        }

        public TestQemu Qemu { get; }

        public GuestBus Bus { get; }

        public GuestMemoryMap Map { get; }

        public void Push() => TestSwap.Push(Map, Qemu, Cold, Length);

        public void Dispose()
        {
            Bus?.Dispose();
            Qemu?.Dispose();
            _swap.Dispose();
        }
    }

    private sealed class Watching(Action<CaptureProgress> action) : IProgress<CaptureProgress>
    {
        private readonly Lock _one = new();

        public void Report(CaptureProgress value)
        {
            lock (_one)
                action(value);
        }
    }
}
