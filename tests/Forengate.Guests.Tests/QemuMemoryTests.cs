using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>What we read from the QEMU process equals what QEMU itself saves (pmemsave), everywhere, for the machines and backends that matter.</summary>
public sealed class QemuMemoryTests
{
    // A pattern at each end of what the guest can have, put there by QEMU's loader.
    private static readonly string[] s_patterns =
    [
        "-device", "loader,addr=0x5000,data=0x1122334455667788,data-len=8",
        "-device", "loader,addr=0x7fff8,data=0x8877665544332211,data-len=8",
    ];

    public static TheoryData<string, string> Machines => new()
    {
        { "pc", "-M pc -m 96" },
        { "pc with a PCI hole in 128 MiB", "-M pc,max-ram-below-4g=64M -m 192" },
        { "pc with video memory", "-M pc -m 64 -vga std" },
        { "q35", "-M q35 -m 96 -vga std" },
        { "q35 with a PCI hole", "-M q35,max-ram-below-4g=64M -m 192" },
        { "q35, memfd shared", "-M q35,memory-backend=ram0,max-ram-below-4g=64M -m 128 -object memory-backend-memfd,id=ram0,size=128M,share=on" },
        { "q35, file shared", "-M q35,memory-backend=ram0 -m 64 -object memory-backend-file,id=ram0,size=64M,share=on,mem-path=FOLDER/ram" },
        { "q35, file private", "-M q35,memory-backend=ram0 -m 64 -object memory-backend-file,id=ram0,size=64M,share=off,mem-path=FOLDER/ram" },
        {
            "two nodes, anonymous and shared, hole, DIMM, device with shared memory",
            "-M q35,max-ram-below-4g=64M -m 128,slots=4,maxmem=2G -smp 2,sockets=2 "
            + "-object memory-backend-memfd,id=m0,size=48M,share=on -object memory-backend-ram,id=m1,size=80M "
            + "-numa node,memdev=m0,cpus=0 -numa node,memdev=m1,cpus=1 "
            + "-object memory-backend-ram,id=d0,size=128M -device pc-dimm,id=dimm0,memdev=d0 "
            + "-object memory-backend-memfd,id=shared0,size=1M,share=on -device ivshmem-plain,memdev=shared0 -vga std"
        },
    };

    [Theory]
    [MemberData(nameof(Machines))]
    public void Memory_equals_what_QEMU_saves(string name, string machine)
    {
        using var qemu = new TestQemu([.. machine.Split(' '), .. s_patterns, "-smp", "2,sockets=2"]);
        // The firmware has shadowed itself and mapped the devices when it reads the boot devices.
        TestQemu.WaitFor(() => BitConverter.ToUInt64(qemu.Memory(0x5000, 8)) != 0, name);
        Thread.Sleep(300);
        qemu.Referee.Stop(CancellationToken.None);
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);

        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.IsType<LiveMemory>(view.Memory);
        CompareAll(qemu, view.Memory);
        CompareScattered(qemu, view.Memory);
        CompareSmall(qemu, view.Memory);
        Assert.False(qemu.IsRunning);
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void A_copy_equals_what_QEMU_saves(string name, string machine)
    {
        using var qemu = new TestQemu([.. machine.Split(' '), .. s_patterns, "-smp", "2,sockets=2"]);
        TestQemu.WaitFor(() => BitConverter.ToUInt64(qemu.Memory(0x5000, 8)) != 0, name);
        // Firmware that found nothing to boot idles: what it changes then lies below 1 MiB.
        var idle = 0;
        TestQemu.WaitFor(
            () =>
            {
                idle = qemu.Referee.Human("info registers", CancellationToken.None).Contains("HLT=1", StringComparison.Ordinal) ? idle + 1 : 0;
                return idle > 20;
            },
            "idle firmware");
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.StopAndCopy), null, CancellationToken.None);
        Assert.True(qemu.IsRunning);
        qemu.Referee.Stop(CancellationToken.None);

        Assert.Equal(ConsistencyLevel.Instant, view.Consistency.Level);
        Assert.NotNull(view.Origin.StoodStill);
        CompareAll(qemu, view.Memory, from: 0x100000);
    }

    [Fact]
    public void Ranges_leave_out_video_memory_firmware_and_the_hole()
    {
        using var qemu = new TestQemu("-M", "q35,max-ram-below-4g=64M", "-m", "96", "-vga", "std", "-S");
        using var view = LiveCapture.Take(qemu.Target, TestQemu.Options(CaptureMode.Live), null, CancellationToken.None);
        Assert.Equal(
            [
                new PhysicalRange(new PhysicalAddress(0), 0xA0000),
                new PhysicalRange(new PhysicalAddress(0xC0000), 0x04000000 - 0xC0000),
                new PhysicalRange(new PhysicalAddress(0x1_00000000), 32UL << 20),
            ],
            AroundFirmware(view.Memory.Ranges));
    }

    /// <summary>Before the firmware has run, the 128 KiB below 1 MiB show the ROM: filled in here, so that the rest can be compared.</summary>
    private static IEnumerable<PhysicalRange> AroundFirmware(IReadOnlyList<PhysicalRange> ranges)
    {
        PhysicalRange? low = null;
        foreach (var range in ranges)
        {
            if (range.Start.Value is >= 0xC0000 and < 0x100000 || range.Start.Value == 0x100000)
            {
                low = new PhysicalRange(new PhysicalAddress(0xC0000), range.End.Value - 0xC0000);
                continue;
            }
            if (low is { } one)
            {
                yield return one;
                low = null;
            }
            yield return range;
        }
        if (low is { } last)
            yield return last;
    }

    private static void CompareAll(TestQemu qemu, PhysicalMemory memory, ulong from = 0)
    {
        const int Step = 16 << 20;
        var buffer = new byte[Step];
        Assert.NotEmpty(memory.Ranges);
        foreach (var range in memory.Ranges)
        {
            for (var at = Math.Max(range.Start.Value, from); at < range.End.Value;)
            {
                var length = (int)Math.Min(Step, range.End.Value - at);
                var wanted = qemu.Memory(at, (ulong)length);
                Assert.Equal(length, memory.Read(new PhysicalAddress(at), buffer.AsSpan(0, length)));
                Assert.True(wanted.AsSpan().SequenceEqual(buffer.AsSpan(0, length)), $"memory differs in 0x{at:x}+0x{length:x}");
                CompareMapped(memory, at, wanted);
                at += (ulong)length;
            }
            Assert.Equal(PageState.Missing, memory.StateOf(range.End));
        }
    }

    /// <summary>Small reads, many of them from the same pages, some across a page's end, some into the hole behind a range.</summary>
    private static void CompareSmall(TestQemu qemu, PhysicalMemory memory)
    {
        var random = new Random(1955);
        Span<byte> got = stackalloc byte[64];
        foreach (var range in memory.Ranges)
        {
            var start = range.Start.Value + (ulong)random.NextInt64((long)(range.PageCount - 3)) * Page.Size;
            var wanted = qemu.Memory(start, 4 * Page.Size);
            for (var i = 0; i < 3000; i++)
            {
                var offset = random.Next(wanted.Length - 64);
                var length = random.Next(1, 65);
                Assert.Equal(length, memory.Read(new PhysicalAddress(start + (ulong)offset), got[..length]));
                Assert.True(got[..length].SequenceEqual(wanted.AsSpan(offset, length)));
            }
            Assert.Equal(3, memory.Read(new PhysicalAddress(range.End.Value - 3), got));
            Assert.Equal(0, memory.Read(range.End, got));
        }
    }

    private static void CompareMapped(PhysicalMemory memory, ulong at, byte[] wanted)
    {
        for (var done = 0; done < wanted.Length;)
        {
            var span = memory.Map(new PhysicalAddress(at + (ulong)done), wanted.Length - done);
            if (span.IsEmpty)
            {
                done += Page.Size;
                continue;
            }
            Assert.True(span.SequenceEqual(wanted.AsSpan(done, span.Length)), $"mapped memory differs at 0x{at + (ulong)done:x}");
            done += span.Length;
        }
    }

    /// <summary>Pages of all ranges and of the holes between them in one batch, in no order.</summary>
    private static void CompareScattered(TestQemu qemu, PhysicalMemory memory)
    {
        var random = new Random(20161);
        var pages = new List<PhysicalAddress>();
        foreach (var range in memory.Ranges)
        {
            for (var i = 0; i < 700; i++)
                pages.Add(new PhysicalAddress((range.Start.Value + (ulong)random.NextInt64((long)range.Length)) & ~Page.OffsetMask));
            pages.Add(range.End);
        }
        var order = pages.ToArray();
        random.Shuffle(order);
        var bytes = new byte[order.Length * Page.Size];
        var states = new PageState[order.Length];
        var readable = memory.ReadPages(order, bytes, states);
        Assert.Equal(order.Count(p => memory.Ranges.Any(r => r.Contains(p))), readable);
        var compared = 0;
        for (var i = 0; i < order.Length; i++)
        {
            var isRam = memory.Ranges.Any(r => r.Contains(order[i]));
            Assert.Equal(isRam ? PageState.Present : PageState.Missing, states[i]);
            var page = bytes.AsSpan(i * Page.Size, Page.Size);
            if (!isRam)
                Assert.False(page.ContainsAnyExcept((byte)0));
            else if (compared++ < 60)
                Assert.True(page.SequenceEqual(qemu.Memory(order[i].Value, Page.Size)), $"page {order[i]} differs");
        }
    }
}
