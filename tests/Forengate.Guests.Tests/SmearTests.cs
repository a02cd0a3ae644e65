using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>How much a guest changed while it was read is measured: the truth is the field of pages that the bare guest writes without pause, and nothing else.</summary>
public sealed class SmearTests
{
    /// <summary>Pages beside the field that may change: the counter's, and what firmware and a timer leave.</summary>
    private const ulong Others = 8;

    [Theory, InlineData("64", false), InlineData("256", true), InlineData("64", false, "-object", "memory-backend-memfd,id=m,size=64M,share=on", "-machine", "memory-backend=m")]
    public void Pages_that_the_guest_writes_while_it_is_read_are_counted(string mebibytes, bool sampled, params string[] more)
    {
        using var qemu = new TestQemu(["-m", mebibytes, "-kernel", "IMAGE", .. more]);
        qemu.WaitForStamps();
        View view;
        using (view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Live), null, CancellationToken.None))
        {
            Assert.True(view.Memory.MayChange);
            ReadAll(view.Memory);
            WaitForAnotherRound(view.Memory);
        }
        var smear = view.Origin.Smear!;
        Assert.Equal(view.Memory.Ranges.Aggregate(0UL, (sum, range) => sum + range.PageCount), smear.PagesRead);
        Assert.Equal(sampled, smear.IsSample);
        if (sampled)
            Assert.InRange(smear.ChangedShare * smear.PagesRead, BareGuest.FieldPages * 0.9, BareGuest.FieldPages * 1.1);
        else
            Assert.InRange(smear.PagesChanged, (ulong)BareGuest.FieldPages + 1, (ulong)BareGuest.FieldPages + Others);
        Assert.Equal(SmearLevel.High, smear.Level);
        Assert.True(smear.Reading > TimeSpan.Zero);
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void A_few_pages_that_stand_still_score_low_though_the_guest_writes_elsewhere()
    {
        using var qemu = new TestQemu("-m", "64", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        View view;
        using (view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Live), null, CancellationToken.None))
        {
            Assert.True(view.Memory.TryRead(new PhysicalAddress(BareGuest.LoadAddress), out ulong _));
            Assert.True(view.Memory.TryRead(new PhysicalAddress(BareGuest.LoadAddress + 0x1000), out ulong _));
        }
        Assert.Equal((2UL, 2UL, 0UL), (view.Origin.Smear!.PagesRead, view.Origin.Smear.PagesCompared, view.Origin.Smear.PagesChanged));
        Assert.Equal(SmearLevel.Low, view.Origin.Smear.Level);
    }

    [Fact]
    public void A_guest_that_stands_still_has_no_score()
    {
        using var qemu = new TestQemu("-m", "64", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        View view;
        using (view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.HoldStopped), null, CancellationToken.None))
        {
            Assert.False(view.Memory.MayChange);
            ReadAll(view.Memory);
        }
        Assert.Null(view.Origin.Smear);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
    }

    [Fact]
    public void A_process_that_is_not_asked_and_runs_is_measured_too()
    {
        using var qemu = new TestQemu("-m", "64", "-kernel", "IMAGE");
        qemu.WaitForStamps();
        View view;
        using (view = ProcessCapture.Take(new ProcessTarget(qemu.ProcessId), null))
        {
            ReadAll(view.Memory);
            WaitForAnotherRound(view.Memory);
        }
        Assert.InRange(view.Origin.Smear!.PagesChanged, (ulong)BareGuest.FieldPages + 1, (ulong)BareGuest.FieldPages + Others);
    }

    private static void ReadAll(PhysicalMemory memory)
    {
        var buffer = new byte[1 << 20];
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += (ulong)buffer.Length)
                memory.Read(at, buffer.AsSpan(0, (int)Math.Min((ulong)buffer.Length, range.End - at)));
        }
    }

    /// <summary>Until every page of the field was written once more than when it was read.</summary>
    private static void WaitForAnotherRound(PhysicalMemory memory)
    {
        var before = StampCheck.Counter(memory);
        TestQemu.WaitFor(() => StampCheck.Counter(memory) > before + BareGuest.FieldPages + 1, "another round of stamps");
    }
}
