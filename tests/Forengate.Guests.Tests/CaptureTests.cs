using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>A running guest that changes all the time: one instant, all registers, and it runs again.</summary>
public sealed class CaptureTests
{
    private static TestQemu Guest() => new("-M", "q35", "-m", "96", "-smp", "2", "-kernel", "IMAGE");

    [Fact]
    public void A_copy_is_of_one_instant_and_the_guest_runs_on()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        for (var i = 0; i < 3; i++)
        {
            using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
            Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
            Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
            // RAX is the counter: registers and memory are of the same instant, give or take the instruction it was caught at.
            var counter = StampCheck.Counter(view.Memory);
            Assert.InRange(view.Cpus[0].Rax!.Value, counter, counter + 1);
            Assert.Equal(["stop", "copy", "cont"], view.Origin.Actions);
            Assert.Contains(view.Origin.Remarks, r => r.Contains("STOP and RESUME", StringComparison.Ordinal));
            Assert.True(view.Origin.StoodStill > TimeSpan.Zero);
            AssertCopyingIsSaid(view);
            var after = qemu.Counter();
            TestQemu.WaitFor(() => qemu.Counter() > after, "the guest to run on");
        }
    }

    /// <summary>How much there was to copy (the stamped field at least), and how much of the pause it took.</summary>
    private static void AssertCopyingIsSaid(View view)
    {
        var said = Assert.Single(view.Origin.Remarks.Select(remark => Regex.Match(remark, @"^copying (\d+) MiB took ([\d.]+) ms of the pause")), match => match.Success);
        Assert.InRange(ulong.Parse(said.Groups[1].Value, CultureInfo.InvariantCulture), BareGuest.FieldPages * (ulong)Page.Size >> 20, view.Memory.Size >> 20);
        Assert.InRange(double.Parse(said.Groups[2].Value, CultureInfo.InvariantCulture), 0.1, view.Origin.StoodStill!.Value.TotalMilliseconds);
    }

    [Fact]
    public void A_live_view_says_that_it_is_smeared()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Live) with { Watchdog = null }, null, CancellationToken.None);
        Assert.Equal(ConsistencyLevel.Smeared, view.Consistency.Level);
        Assert.Null(view.Origin.StoodStill);
        Assert.Empty(view.Origin.Actions);
        Assert.True(qemu.IsRunning);
        Assert.NotEqual(0, StampCheck.Disagreeing(view.Memory));
    }

    [Fact]
    public void A_held_guest_stands_still_until_the_view_is_disposed()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.HoldStopped), null, CancellationToken.None);
        Assert.False(qemu.IsRunning);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        Assert.Equal(qemu.Counter(), StampCheck.Counter(view.Memory));
        Assert.Null(view.Origin.StoodStill);
        var watch = Stopwatch.StartNew();
        Thread.Sleep(100);
        view.Dispose();
        Assert.True(qemu.IsRunning);
        Assert.True(view.Origin.StoodStill >= watch.Elapsed - TimeSpan.FromMilliseconds(50) || view.Origin.StoodStill >= TimeSpan.FromMilliseconds(100));
        Assert.Equal(["stop", "cont"], view.Origin.Actions);
        Assert.DoesNotContain(view.Origin.Remarks, r => r.Contains("inconsistent", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(CaptureMode.StopAndCopy)]
    [InlineData(CaptureMode.HoldStopped)]
    [InlineData(CaptureMode.Live)]
    public void A_guest_that_stood_still_before_is_neither_stopped_nor_continued(CaptureMode mode)
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        qemu.Referee.Stop(CancellationToken.None);
        var view = LiveCapture.Take(qemu.Target, TestQemu.Options(mode), null, CancellationToken.None);
        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
        view.Dispose();
        Assert.False(qemu.IsRunning);
        Assert.Empty(view.Origin.Actions);
        Assert.Null(view.Origin.StoodStill);
    }

    [Fact]
    public void Who_continues_the_guest_meanwhile_is_found_out()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        qemu.Referee.Stop(CancellationToken.None);
        var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        qemu.Referee.Continue();
        view.Dispose();
        Assert.Contains(view.Origin.Remarks, r => r.Contains("inconsistent", StringComparison.Ordinal));
    }

    [Fact]
    public void Registers_are_what_the_guest_loaded()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        qemu.Referee.Stop(CancellationToken.None);
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        Assert.Equal(2, view.Cpus.Count);
        var cpu = view.Cpus[0];
        Assert.Equal(0, cpu.Index);
        Assert.Equal(BareGuest.Rbx, cpu.Rbx);
        Assert.Equal(BareGuest.Rdi, cpu.Rdi);
        Assert.Equal(BareGuest.R12, cpu.R12);
        Assert.Equal(BareGuest.R15, cpu.R15);
        Assert.Equal(0x220000UL, cpu.Rsp);
        Assert.InRange(cpu.Rip!.Value, BareGuest.LoadAddress + 0x100, BareGuest.LoadAddress + 0x200);
        Assert.Equal(BareGuest.Cr3, cpu.Cr3);
        Assert.Equal(0x620UL, cpu.Cr4);
        Assert.Equal(0x80000000UL, cpu.Cr0 & 0x80000000UL);
        Assert.Equal(BareGuest.Cr8, cpu.Cr8);
        Assert.Equal(0xD01UL, cpu.Efer);
        Assert.True(cpu.IsLongMode);
        Assert.Equal(BareGuest.GsBase, cpu.Gs!.Value.Base);
        Assert.Equal(BareGuest.KernelGsBase, cpu.KernelGsBase);
        Assert.Equal(8, cpu.Cs!.Value.Selector);
        Assert.Equal(0x20_9A00U, cpu.Cs.Value.Attributes!.Value & 0x20_FE00U);
        Assert.Equal(new DescriptorTableRegister(BareGuest.LoadAddress + 0x200, 23), cpu.Gdtr);
        Assert.Equal(BareGuest.Dr0, cpu.Dr0);
        Assert.Equal((ushort)0x37F, cpu.Fcw);
        Assert.Equal(7, (cpu.Fsw!.Value >> 11) & 7);
        Assert.Equal((byte)0x80, cpu.Ftw);
        Assert.Equal(0x1F80U, cpu.MxCsr);
        // ST0 is 1.0: mantissa 0x8000000000000000, exponent 0x3FFF.
        Assert.Equal(0x8000000000000000UL, BinaryPrimitives.ReadUInt64LittleEndian(cpu.St!.Value.Span));
        Assert.Equal((ushort)0x3FFF, BinaryPrimitives.ReadUInt16LittleEndian(cpu.St.Value.Span[8..]));
        Assert.True(cpu.Xmm!.Value.Span.Slice(7 * 16, 16).SequenceEqual(BareGuest.Xmm7));
        Assert.Equal(BareGuest.LStar, cpu.LStar);
        Assert.Equal(1, view.Cpus[1].Index);
        Assert.Equal(0xFFFFFFFFUL & view.Cpus[1].Rip!.Value, view.Cpus[1].Rip);
        Assert.DoesNotContain(view.Origin.Remarks, r => r.Contains("ELF note", StringComparison.Ordinal));
    }

    [Fact]
    public void Registers_of_many_CPUs_come_in_order()
    {
        using var qemu = new TestQemu("-M", "q35", "-m", "64", "-smp", "48", "-S");
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        Assert.Equal(Enumerable.Range(0, 48), view.Cpus.Select(c => c.Index));
        Assert.All(view.Cpus, c => Assert.Equal(0xFFF0UL, c.Rip));
        Assert.All(view.Cpus, c => Assert.Equal(0UL, c.Cr8));
        Assert.All(view.Cpus, c => Assert.NotNull(c.KernelGsBase));
    }

    [Fact]
    public void Progress_ends_with_all_bytes()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        var seen = new List<CaptureProgress>();
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), new Recorder(seen), CancellationToken.None);
        Assert.Equal(CapturePhase.Connecting, seen[0].Phase);
        Assert.Equal(view.Memory.Size, seen.Where(p => p.Phase == CapturePhase.PreparingMemory).Max(p => p.Bytes));
        Assert.Equal(view.Memory.Size, seen.Where(p => p.Phase == CapturePhase.Copying).Max(p => p.Bytes));
        Assert.Equal(CapturePhase.Done, seen[^1].Phase);
    }

    /// <summary>So that what the guest would wait for has been done once when it is stopped.</summary>
    [Fact]
    public void All_is_copied_once_before_the_guest_is_stopped()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        var ahead = new List<(ulong Bytes, bool Running)>();
        var running = true;
        using var view = LiveCapture.Take(
            qemu.Target,
            TestQemu.Options(CaptureMode.StopAndCopy),
            new Recorder([])
            {
                OnReport = p =>
                {
                    lock (ahead)
                    {
                        if (p.Phase == CapturePhase.CopyingAhead)
                            ahead.Add((p.Bytes, qemu.IsRunning));
                        else if (p.Phase == CapturePhase.Copying)
                            running &= qemu.IsRunning;
                    }
                },
            },
            CancellationToken.None);
        Assert.Equal(view.Memory.Size, ahead.Max(each => each.Bytes));
        Assert.All(ahead, each => Assert.True(each.Running));
        Assert.False(running);
        Assert.Equal(0, StampCheck.Disagreeing(view.Memory));
    }

    /// <summary>Guests that are large enough are none of a test's; the bound is.</summary>
    [Fact]
    public void A_pause_that_will_be_long_waits_until_nothing_is_compiled_any_more()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        var (ahead, copying) = (0L, 0L);
        using var view = LiveCapture.Take(
            qemu.Target,
            TestQemu.Options(CaptureMode.StopAndCopy) with { LongPause = TimeSpan.Zero },
            new Recorder([])
            {
                OnReport = p =>
                {
                    if (p.Phase == CapturePhase.CopyingAhead)
                        Interlocked.Exchange(ref ahead, Stopwatch.GetTimestamp());
                    else if (p.Phase == CapturePhase.Copying)
                        Interlocked.CompareExchange(ref copying, Stopwatch.GetTimestamp(), 0);
                },
            },
            CancellationToken.None);
        Assert.InRange(Stopwatch.GetElapsedTime(ahead, copying), BackgroundCompiler.Calm, TimeSpan.MaxValue);
    }

    [Fact]
    public void Too_long_a_pause_is_refused_before_the_stop()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        var e = Assert.Throws<GuestException>(() => LiveCapture.Take(
            qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy) with { MaxPause = TimeSpan.FromTicks(1) }, null, CancellationToken.None));
        Assert.Equal(GuestFailure.TooSlow, e.Failure);
        Assert.Null(qemu.Referee.LastStopByEvents);
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void Cancelling_in_the_middle_of_the_first_copy_never_stops_the_guest()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        using var cancelled = new CancellationTokenSource();
        var recorder = new Recorder([])
        {
            OnReport = p =>
            {
                if (p.Phase == CapturePhase.CopyingAhead)
                    cancelled.Cancel();
            },
        };
        Assert.Throws<OperationCanceledException>(() => LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), recorder, cancelled.Token));
        Assert.Null(qemu.Referee.LastStopByEvents);
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void Cancelling_in_the_middle_of_the_copy_continues_the_guest()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        using var cancelled = new CancellationTokenSource();
        var stood = false;
        Assert.Throws<OperationCanceledException>(() => LiveCapture.Take(
            qemu.Target,
            TestQemu.Options(CaptureMode.StopAndCopy),
            new Recorder([])
            {
                OnReport = p =>
                {
                    if (p.Phase != CapturePhase.Copying)
                        return;
                    lock (cancelled)
                    {
                        stood |= !qemu.IsRunning;
                        cancelled.Cancel();
                    }
                },
            },
            cancelled.Token));
        Assert.True(stood);
        Assert.True(qemu.IsRunning);
    }

    [Fact]
    public void The_deadline_continues_the_guest_and_the_view_says_so()
    {
        using var qemu = Guest();
        qemu.WaitForStamps();
        using var view = LiveCapture.Take(
            qemu.Target,
            TestQemu.Options(CaptureMode.StopAndCopy) with { Deadline = TimeSpan.FromMilliseconds(700), Threads = 1 },
            new Recorder([])
            {
                // Keeps the copy from ending until the watchdog has lost patience.
                OnReport = p =>
                {
                    if (p.Phase == CapturePhase.Copying)
                        TestQemu.WaitFor(() => qemu.IsRunning, "the watchdog");
                },
            },
            CancellationToken.None);
        Assert.Equal(ConsistencyLevel.Smeared, view.Consistency.Level);
        Assert.Contains(view.Origin.Remarks, r => r.Contains("inconsistent", StringComparison.Ordinal));
        Assert.True(view.Origin.StoodStill >= TimeSpan.FromMilliseconds(690));
        Assert.True(qemu.IsRunning);
    }

    private sealed class Recorder(List<CaptureProgress> seen) : IProgress<CaptureProgress>
    {
        public Action<CaptureProgress>? OnReport { get; init; }

        public void Report(CaptureProgress value)
        {
            lock (seen)
                seen.Add(value);
            OnReport?.Invoke(value);
        }
    }
}
