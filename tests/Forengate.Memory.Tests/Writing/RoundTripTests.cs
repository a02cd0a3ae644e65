namespace Forengate.Memory.Tests.Writing;

/// <summary>View to file to view: every byte, page state and register that the format can hold.</summary>
public sealed class RoundTripTests
{
    private static readonly CpuState[] s_cpus = [CpuSamples.WithVectors(CpuSamples.Full(0, 1), 7), CpuSamples.Full(1, 2) with { Tsc = null, Cr2 = null }];

    public static TheoryData<string, bool, bool> Ways()
    {
        var ways = new TheoryData<string, bool, bool>();
        foreach (var writer in ImageWriters.All)
        {
            foreach (var toFile in new[] { true, false })
            {
                ways.Add(writer.Name, toFile, true);
                ways.Add(writer.Name, toFile, false);
            }
        }
        return ways;
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Every_byte_comes_back(string format, bool toFile, bool maps)
    {
        var memory = Sample(maps);
        var (file, result) = Write(format, View(memory), toFile);
        using (file)
        using (var back = ImageReader.Open(file.Path, new ImageOpenOptions { Format = format == "raw" ? "raw" : null }))
        {
            Assert.Equal((ulong)new FileInfo(file.Path).Length, result.Bytes);
            var states = new HashSet<PageState>();
            foreach (var range in memory.Ranges)
            {
                for (var page = range.Start; page < range.End; page += Page.Size)
                {
                    var (wanted, got) = (new byte[Page.Size], new byte[Page.Size]);
                    var readable = memory.Read(page, wanted);
                    if (readable != 0)
                        Assert.Equal(Page.Size, back.Memory.Read(page, got));
                    else if (format != "raw")
                        Assert.Equal(0, back.Memory.Read(page, got));
                    Assert.True(wanted.AsSpan().SequenceEqual(got), $"page {page}");
                    states.Add(memory.StateOf(page));
                }
            }
            Assert.Equal(5, states.Count);
            Assert.Equal([new PhysicalRange(At(0x9_F000), 2 * Page.Size), new PhysicalRange(At(0x20_0000), Page.Size), new PhysicalRange(At(0x30_3000), 2 * Page.Size)], result.Missing);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_ELF_core_keeps_page_states_and_every_register(bool toFile)
    {
        var memory = Sample(maps: true);
        var origin = new ViewOrigin
        {
            Target = "x", Format = "some format", Producer = "some maker", Machine = "pc-q35-7.2", GuestName = "gäst", TakenAt = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
        };
        using var source = new View(memory, s_cpus, new Consistency(ConsistencyLevel.Smeared, "it ran"), origin);
        var (file, result) = Write("elf", source, toFile);
        using (file)
        using (var back = ImageReader.Open(file.Path))
        {
            Assert.Equal(memory.Ranges, back.Memory.Ranges);
            foreach (var range in memory.Ranges)
            {
                for (var page = range.Start; page < range.End; page += Page.Size)
                {
                    var (wanted, got) = (memory.StateOf(page), back.Memory.StateOf(page));
                    // A page known to be zero is one more page of bytes where a file has no holes, and a page of zero bytes a hole where it has.
                    if (wanted is not (PageState.Zero or PageState.Present))
                        Assert.Equal(wanted, got);
                    else if (toFile && wanted == PageState.Zero)
                        Assert.Equal(PageState.Zero, got);
                }
            }
            Assert.Equal(2, back.Cpus.Count);
            Assert.All(s_cpus.Zip(back.Cpus), pair => Assert.Empty(CpuSamples.Differences(pair.First, pair.Second)));
            Assert.Equal(new Consistency(ConsistencyLevel.Smeared, "it ran"), back.Consistency);
            Assert.Equal((origin.Machine, origin.GuestName, origin.TakenAt, "Forengate"), (back.Origin.Machine, back.Origin.GuestName, back.Origin.TakenAt, back.Origin.Producer));
            Assert.Contains("converted by Forengate from: some format, made by some maker", back.Origin.Remarks);
            Assert.Contains("missing in the image", Assert.Single(back.Origin.Damage), StringComparison.Ordinal);
            Assert.Contains(result.Lost, line => line.StartsWith("CPU 1: registers that the source does not know", StringComparison.Ordinal) && line.EndsWith(": cr2", StringComparison.Ordinal));

            // Once more: nothing is lost on the second way either, and nothing is made up.
            var (again, _) = Write("elf", back, toFile);
            using (again)
                Assert.True(File.ReadAllBytes(file.Path).AsSpan(0x4000).SequenceEqual(File.ReadAllBytes(again.Path).AsSpan(0x4000)));
        }
    }

    [Fact]
    public void More_segments_than_16_bits_count_are_written()
    {
        const int Pages = 140_000;
        var memory = TestMemory.OfSize(Pages * (ulong)Page.Size);
        for (var i = 0UL; i < Pages; i += 2)
            memory.SetState(i * Page.Size, PageState.Zero);
        memory.Write(0x5000 * 2 * Page.Size, "here"u8);
        var (file, result) = Write("elf", View(memory), toFile: true);
        using (file)
        using (var back = ImageReader.Open(file.Path))
        {
            Assert.Equal((Pages / 2UL, Pages / 2UL - 1), (result.Pages, result.ZeroPages));
            Assert.Equal(memory.Ranges, back.Memory.Ranges);
            Assert.True(back.Memory.TryRead(At(0x5000 * 2 * Page.Size), out uint value));
            Assert.Equal(0x65726568u, value);
            Assert.Equal(PageState.Missing, back.Memory.StateOf(At(Page.Size)));
        }
    }

    [Fact]
    public void What_is_lost_is_said()
    {
        var (raw, result) = Write("raw", View(Sample(maps: true)), toFile: true);
        raw.Dispose();
        Assert.Contains("the registers of 2 CPU(s): a raw image holds none", result.Lost);
        Assert.Contains(result.Lost, line => line.Contains("0x0-0xa1000, 0x100000-0x305000, 0x100000000-0x100001000", StringComparison.Ordinal));
        Assert.Contains(result.Lost, line => line.Contains("0x9f000-0xa1000, 0x200000-0x201000, 0x303000-0x305000", StringComparison.Ordinal));
        var (lime, limeResult) = Write("lime", View(Sample(maps: true)), toFile: true);
        lime.Dispose();
        Assert.Contains(limeResult.Lost, line => line.Contains("1 ballooned and 2 excluded", StringComparison.Ordinal));
    }

    [Fact]
    public void Cancelling_ends_it_and_failures_come_as_they_are()
    {
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        foreach (var writer in ImageWriters.All)
        {
            using var file = new TemporaryFile();
            using var stream = new FileStream(file.Path, FileMode.Create);
            Assert.ThrowsAny<OperationCanceledException>(() => writer.Write(View(Sample(true)), stream, ImageWriteOptions.Default, null, cancelled.Token));
        }
        // /dev/full takes nothing.
        using var full = new FileStream("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 0);
        Assert.ThrowsAny<IOException>(() => new RawImageWriter().Write(View(Sample(true)), new ForwardOnlyStream(full), ImageWriteOptions.Default, null, default));
    }

    private static PhysicalAddress At(ulong address) => new(address);

    private static View View(PhysicalMemory memory) =>
        new(memory, s_cpus, new Consistency(ConsistencyLevel.Instant, "made by hand"), new ViewOrigin { Target = "hand", Format = "hand-made" });

    /// <summary>Three ranges, one above 4 GiB, and every page state.</summary>
    private static TestMemory Sample(bool maps)
    {
        var memory = new TestMemory([new PhysicalRange(default, 0xA_1000), new PhysicalRange(At(0x10_0000), 0x20_5000), new PhysicalRange(At(0x1_0000_0000), Page.Size)], maps);
        var random = new Random(4);
        foreach (var range in memory.Ranges)
        {
            for (var page = range.Start.Value; page < range.End.Value; page += Page.Size)
            {
                if (random.Next(4) == 0)
                    memory.SetState(page, PageState.Zero);
                else if (random.Next(4) != 0)
                    random.NextBytes(memory.PageAt(page));
                else
                    memory.PageAt(page);
            }
        }
        memory.SetState(0x9_F000, PageState.Missing);
        memory.SetState(0xA_0000, PageState.Missing);
        memory.SetState(0x20_0000, PageState.Ballooned);
        memory.SetState(0x30_3000, PageState.Excluded);
        memory.SetState(0x30_4000, PageState.Excluded);
        return memory;
    }

    private static (TemporaryFile File, ImageWriteResult Result) Write(string format, View view, bool toFile)
    {
        var writer = ImageWriters.All.Single(writer => writer.Name == format);
        var file = new TemporaryFile("." + format);
        using var stream = new FileStream(file.Path, FileMode.Create, FileAccess.ReadWrite, FileShare.None, 0);
        return (file, writer.Write(view, toFile ? stream : new ForwardOnlyStream(stream), ImageWriteOptions.Default, null, default));
    }
}
