namespace Forengate.Memory.Tests.Views;

/// <summary>What changed while it was read is counted, exactly where all pages are compared and within the sample's error where not.</summary>
public sealed class WatchedMemoryTests
{
    [Fact]
    public void Memory_that_stands_still_scores_nothing()
    {
        using var watched = new WatchedMemory(Filled(64, out _));
        ReadAll(watched);
        var score = watched.Measure();
        Assert.Equal((64UL, 64UL, 0UL), (score.PagesRead, score.PagesCompared, score.PagesChanged));
        Assert.Equal(SmearLevel.Low, score.Level);
        Assert.StartsWith("smear low: 0 of 64 pages read changed within the ", score.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Only_pages_that_were_read_count_and_each_once()
    {
        using var watched = new WatchedMemory(Filled(64, out var source));
        for (var i = 0; i < 3; i++)
        {
            Assert.True(watched.TryRead(new PhysicalAddress(0x5008), out ulong _));
            Assert.True(watched.TryRead(new PhysicalAddress(0x6FFC), out ulong _)); // Across two pages.
        }
        Touch(source, 5);
        Touch(source, 7);
        Touch(source, 40);
        var score = watched.Measure();
        Assert.Equal((3UL, 3UL, 2UL), (score.PagesRead, score.PagesCompared, score.PagesChanged));
        Assert.Equal(SmearLevel.High, score.Level);
    }

    [Fact]
    public void Every_way_to_read_is_watched_and_gives_what_is_there()
    {
        using var watched = new WatchedMemory(Filled(64, out var source, maps: true));
        var buffer = new byte[20 * Page.Size];
        Assert.Equal(100, watched.Map(new PhysicalAddress(0x1010), 100).Length);
        Assert.Equal(2, watched.ReadPages([new PhysicalAddress(0x2000), new PhysicalAddress(0x9000), new PhysicalAddress(0x8000000)], buffer, new PageState[3]));
        Assert.Equal(buffer.Length, watched.Read(new PhysicalAddress(0x10000), buffer));
        for (var page = 0; page < 20; page++)
            Assert.Equal((byte)(0x10 + page), buffer[page * Page.Size]);
        Assert.Equal(23UL, watched.Measure().PagesRead);
        foreach (var page in (ReadOnlySpan<int>)[1, 2, 9, 0x12])
            Touch(source, page);
        Assert.Equal(4UL, watched.Measure().PagesChanged);
    }

    [Fact]
    public void The_bytes_compared_are_those_that_the_reader_got()
    {
        using var watched = new WatchedMemory(Filled(8, out var source));
        Assert.True(watched.TryRead(new PhysicalAddress(0x3000), out ulong _));
        Touch(source, 3);
        // Read again with what is new: the first reading was of the page before.
        Assert.True(watched.TryRead(new PhysicalAddress(0x3000 + Touched), out byte now));
        Assert.Equal(0xFF, now);
        Assert.Equal(1UL, watched.Measure().PagesChanged);
    }

    [Fact]
    public void A_page_that_can_not_be_read_again_has_changed()
    {
        using var watched = new WatchedMemory(Filled(8, out var source));
        ReadAll(watched);
        source.SetState(0x2000, PageState.Missing);
        Assert.Equal(1UL, watched.Measure().PagesChanged);
    }

    [Fact]
    public void A_large_memory_is_sampled_evenly_and_the_share_is_right()
    {
        const int Pages = 16 * WatchedMemory.SampleSize;
        var source = new CountedMemory(Pages);
        using var watched = new WatchedMemory(source);
        ReadAll(watched);
        // A sixteenth here in one stretch, another in every 32nd page: 3/32 in all.
        source.Change = frame => frame < Pages / 16 || frame % 32 == 5;
        var expected = Enumerable.Range(0, Pages).Count(frame => source.Change((ulong)frame)) / (double)Pages;
        var score = watched.Measure();
        Assert.Equal((ulong)Pages, score.PagesRead);
        Assert.InRange(score.PagesCompared, WatchedMemory.SampleSize * 0.98, WatchedMemory.SampleSize * 1.02);
        Assert.InRange(score.ChangedShare, expected - 0.01, expected + 0.01);
        Assert.True(score.IsSample);
        Assert.Contains("about ", score.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Notes_are_bounded_whatever_is_read()
    {
        const int Pages = 4 * WatchedMemory.MostNoted;
        using var watched = new WatchedMemory(new CountedMemory(Pages));
        for (var page = 0; page < Pages; page++)
            Assert.True(watched.TryRead(PhysicalAddress.FromFrame((ulong)page), out ulong _));
        var score = watched.Measure();
        Assert.Equal((ulong)Pages, score.PagesRead);
        Assert.InRange(score.PagesCompared, 1UL, (ulong)WatchedMemory.MostNoted);
        Assert.Equal(0UL, score.PagesChanged);
    }

    [Fact]
    public void Many_threads_may_read()
    {
        const int Pages = 4096;
        using var watched = new WatchedMemory(new CountedMemory(Pages));
        Parallel.For(0, 8, _ => ReadAll(watched));
        Assert.Equal(((ulong)Pages, (ulong)Pages), (watched.Measure().PagesRead, watched.Score!.PagesCompared));
    }

    [Theory]
    [InlineData(0, 0, 0, SmearLevel.Low)]
    [InlineData(9, 0, 0, SmearLevel.Low)]
    [InlineData(10, 0, 0, SmearLevel.Some)]
    [InlineData(0, 2, 0, SmearLevel.Some)]
    [InlineData(100, 0, 0, SmearLevel.High)]
    [InlineData(0, 15, 1, SmearLevel.High)]
    public void The_level_says_what_to_do(ulong changed, int again, int left, SmearLevel level) =>
        Assert.Equal(level, new SmearScore { PagesRead = 1000, PagesCompared = 1000, PagesChanged = changed, Reading = default, Torn = new TornReads(again, left) }.Level);

    /// <summary>Where <see cref="Touch"/> writes.</summary>
    private const int Touched = 0x7FF;

    private static TestMemory Filled(int pages, out TestMemory memory, bool maps = false)
    {
        memory = TestMemory.OfSize((ulong)pages << Page.Shift, maps);
        for (var page = 0; page < pages; page++)
            memory.PageAt((ulong)page << Page.Shift)[0] = (byte)page;
        return memory;
    }

    private static void Touch(TestMemory memory, int page) => memory.PageAt((ulong)page << Page.Shift)[Touched] = 0xFF;

    private static void ReadAll(PhysicalMemory memory)
    {
        var buffer = new byte[1 << 20];
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += (ulong)buffer.Length)
                memory.Read(at, buffer.AsSpan(0, (int)Math.Min((ulong)buffer.Length, range.End - at)));
        }
    }

    /// <summary>Pages that hold their number, and later another one where told so.</summary>
    private sealed class CountedMemory(int pages) : PhysicalMemory
    {
        public Func<ulong, bool> Change { get; set; } = static _ => false;

        public override bool MayChange => true;

        public override IReadOnlyList<PhysicalRange> Ranges { get; } = [new PhysicalRange(default, (ulong)pages << Page.Shift)];

        public override PageState StateOf(PhysicalAddress address) => PageState.Present;

        public override int Read(PhysicalAddress address, Span<byte> destination)
        {
            destination.Clear();
            for (var at = 0; at + 8 <= destination.Length; at += Page.Size)
                BitConverter.TryWriteBytes(destination[at..], (address + (ulong)at).Frame + (Change((address + (ulong)at).Frame) ? 1UL << 40 : 0));
            return destination.Length;
        }
    }
}
