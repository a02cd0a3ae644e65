using Forengate.Memory;
using Forengate.Testing.Devices;

namespace Forengate.Guests.Tests;

/// <summary>The guest gives pages to the host by a balloon. Views mark them, and no page that holds something.</summary>
public sealed class BalloonTests
{
    internal const ulong DriverPage = 0x300000;
    private const ulong Given = 0x4000000;
    private const int Pages = 1024;
    private static readonly CancellationToken Ct = CancellationToken.None;

    internal static TestQemu Start(string backend)
    {
        var qemu = backend == "memfd"
            ? PlugTests.Start("-object", "memory-backend-memfd,id=ram0,size=96M,share=on", "-machine", "memory-backend=ram0", "-device", "virtio-balloon-pci,id=balloon0")
            : PlugTests.Start("-device", "virtio-balloon-pci,id=balloon0");
        qemu.WaitForStamps();
        return qemu;
    }

    /// <summary>Every page around the balloon's holds something, and one of the balloon's does again.</summary>
    private static void Inflate(GuestBus bus)
    {
        for (var page = Given - 16 * Page.Size; page < Given + (Pages + 16) * Page.Size; page += Page.Size)
            bus.Write64(page + 8, page | 1);
        new VirtioBalloon(bus, DriverPage).Inflate((uint)(Given >> Page.Shift), Pages);
        bus.Write64(Touched, 0x1234);
    }

    private const ulong Touched = Given + 100 * Page.Size;

    private static View Take(TestQemu qemu, CaptureMode mode) => LiveCapture.Take(qemu.Target, TestQemu.Options(mode), null, Ct);

    [Theory]
    [InlineData(CaptureMode.Snapshot, "ram")]
    [InlineData(CaptureMode.Snapshot, "memfd")]
    [InlineData(CaptureMode.StopAndCopy, "ram")]
    [InlineData(CaptureMode.StopAndCopy, "memfd")]
    [InlineData(CaptureMode.HoldStopped, "ram")]
    [InlineData(CaptureMode.HoldStopped, "memfd")]
    public void Its_pages_are_marked_and_no_others_that_hold_something(CaptureMode mode, string backend)
    {
        using var qemu = Start(backend);
        using var bus = PlugTests.Bus(qemu);
        using (var before = Take(qemu, mode))
        {
            Assert.DoesNotContain(before.Origin.Remarks, remark => remark.Contains("balloon", StringComparison.Ordinal));
            Assert.Equal(0UL, MemorySurvey.Of(before.Memory).Ballooned);
        }
        Inflate(bus);
        using var view = Take(qemu, mode);
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("a balloon holds 4 MiB of the guest's 96 MiB", StringComparison.Ordinal));
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("are marked as ballooned", StringComparison.Ordinal));
        for (var page = Given - 16 * Page.Size; page < Given + (Pages + 16) * Page.Size; page += Page.Size)
        {
            var isGiven = page >= Given && page < Given + Pages * Page.Size && page != (Touched & ~Page.OffsetMask);
            var address = new PhysicalAddress(page);
            Assert.Equal(isGiven ? PageState.Ballooned : PageState.Present, view.Memory.StateOf(address));
            Assert.Equal(!isGiven, view.Memory.TryRead(address + 8, out ulong value));
            if (!isGiven)
                Assert.Equal(page == (Touched & ~Page.OffsetMask) ? 0 : page | 1, value);
        }
        Assert.True(view.Memory.TryRead(new PhysicalAddress(Touched), out ulong touched));
        Assert.Equal(0x1234UL, touched);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    /// <summary>Whatever is marked holds nothing in the guest's own memory: nothing is lost by it.</summary>
    [Theory]
    [InlineData("ram")]
    [InlineData("memfd")]
    public void What_is_marked_holds_nothing(string backend)
    {
        using var qemu = Start(backend);
        using var bus = PlugTests.Bus(qemu);
        Inflate(bus);
        using var view = Take(qemu, CaptureMode.HoldStopped);
        var saved = Path.Combine(qemu.Folder, "low.bin");
        qemu.Referee.Qmp(
            "pmemsave", w =>
            {
                w.WriteNumber("val", 0);
                w.WriteNumber("size", 96 << 20);
                w.WriteString("filename", saved);
            }, Ct);
        var truth = File.ReadAllBytes(saved);
        var marked = 0;
        foreach (var range in view.Memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                if (view.Memory.StateOf(at) != PageState.Ballooned)
                    continue;
                marked++;
                Assert.False(truth.AsSpan((int)at.Value, Page.Size).ContainsAnyExcept((byte)0), $"the page at {at} is marked and holds something");
            }
        }
        Assert.InRange(marked, Pages - 1, int.MaxValue);
    }

    /// <summary>A running guest may take its pages back and use them: they are not marked, and read as zeros.</summary>
    [Fact]
    public void Of_a_running_guest_the_amount_is_said()
    {
        using var qemu = Start("ram");
        using var bus = PlugTests.Bus(qemu);
        Inflate(bus);
        using var view = Take(qemu, CaptureMode.Live);
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("a balloon holds 4 MiB", StringComparison.Ordinal));
        Assert.Equal(0UL, MemorySurvey.Of(view.Memory).Ballooned);
        Assert.True(view.Memory.TryRead(new PhysicalAddress(Given + 8), out ulong value));
        Assert.Equal(0UL, value);
    }

    /// <summary>Kernels before 6.7 are asked page by page, and say the same.</summary>
    [Fact]
    public void An_older_kernel_says_the_same()
    {
        using var qemu = Start("ram");
        using var bus = PlugTests.Bus(qemu);
        Inflate(bus);
        using var session = GuestSession.Open(qemu.Target, null, Ct);
        using var backends = SharedBackends.Open(session.Map, session.Process);
        using var absent = AbsentPages.Open(session.Map, session.Process);
        session.Monitor.Stop(Ct);
        try
        {
            var byCall = GivenBackPages.Find(session.Map, backends, absent);
            absent.Forget();
            var byEntries = GivenBackPages.Find(session.Map, backends, absent);
            Assert.NotNull(byCall);
            Assert.NotNull(byEntries);
            Assert.Contains(byEntries, range => range.Start.Value <= Given && range.End.Value == (Touched & ~Page.OffsetMask));
            Assert.Contains(byEntries, range => range.Start.Value == (Touched & ~Page.OffsetMask) + Page.Size && range.End.Value == Given + Pages * Page.Size);
            // The page of zeros that all share has an entry like others.
            Assert.All(byEntries, range => Assert.Contains(byCall, other => range.Start >= other.Start && range.End <= other.End));
        }
        finally
        {
            session.Monitor.Continue();
        }
    }
}
