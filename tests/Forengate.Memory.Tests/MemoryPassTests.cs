using System.Collections.Concurrent;

namespace Forengate.Memory.Tests;

public sealed class MemoryPassTests
{
    [Theory]
    [InlineData(64, true)]
    [InlineData(64, false)]
    [InlineData(32, true)]
    [InlineData(32, false)]
    [InlineData(0, true)]
    [InlineData(0, false)]
    public void Finds_what_a_naive_search_finds(int vectorBytes, bool maps)
    {
        for (var seed = 0; seed < 25; seed++)
        {
            var random = new Random(seed);
            var memory = RandomMemory(random, maps);
            var patterns = new PatternSet(Enumerable.Range(0, random.Next(1, 40)).Select(_ => RandomPattern(random)));
            var found = new ConcurrentBag<PatternHit>();
            var pass = new MemoryPass { Patterns = patterns, OnHit = found.Add, VectorBytes = vectorBytes, Workers = 1 + (seed % 3) };
            pass.Run(memory);
            var expected = Naive(memory, patterns);
            Assert.Equal(expected, found.Order());
            Assert.True(seed != 0 || expected.Count > 0);
        }
    }

    [Fact]
    public void Finds_patterns_over_every_edge_of_a_mapped_file_in_pieces()
    {
        // Pages stored back to front: each is an extent of its own, every edge a seam between spans.
        const int Pages = 600;
        var bytes = new byte[Pages * Page.Size];
        new Random(1).NextBytes(bytes);
        var pattern = "0123456789abcdef"u8;
        var expected = new List<ulong>();
        for (var page = 1; page < Pages; page++)
        {
            var at = (page * Page.Size) - (page % 17);
            pattern.CopyTo(bytes.AsSpan(at));
            expected.Add((ulong)at);
        }
        var backwards = new byte[bytes.Length];
        for (var page = 0; page < Pages; page++)
            bytes.AsSpan(page * Page.Size, Page.Size).CopyTo(backwards.AsSpan((Pages - 1 - page) * Page.Size));
        using var file = new TemporaryFile(backwards);
        using var memory = new FileMemory(
            MappedFile.Open(file.Path),
            Enumerable.Range(0, Pages).Select(page => FileExtent.Stored(PhysicalAddress.FromFrame((ulong)page), Page.Size, (ulong)(Pages - 1 - page) * Page.Size)));
        var hits = MemoryPass.Find(memory, new PatternSet([new BytePattern(pattern)]), 10_000, out var complete);
        Assert.True(complete);
        Assert.Equal(expected, hits.Select(hit => hit.Address.Value));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Visits_each_page_with_bytes_once(bool maps)
    {
        var memory = RandomMemory(new Random(5), maps);
        var visitor = new Collector();
        new MemoryPass { Pages = visitor, Patterns = new PatternSet([new BytePattern("Proc"u8)]), Workers = 2 }.Run(memory);
        var expected = new List<ulong>();
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                if (memory.StateOf(at) == PageState.Present)
                    expected.Add(at.Value);
            }
        }
        Assert.Equal(expected, visitor.Seen.Keys.Order());
        var page = new byte[Page.Size];
        foreach (var (address, bytes) in visitor.Seen)
        {
            Assert.True(memory.TryRead(new PhysicalAddress(address), page));
            Assert.Equal(page, bytes);
        }
    }

    [Fact]
    public void Progress_ends_at_all_of_it_and_cancellation_ends_the_pass()
    {
        var memory = TestMemory.OfSize(200 << 20);
        for (ulong at = 0; at < 200 << 20; at += 1 << 20)
            memory.PageAt(at)[0] = 1;
        var reports = new List<MemoryPassProgress>();
        new MemoryPass { Patterns = new PatternSet([new BytePattern("Proc"u8)]), Workers = 1, Progress = new Immediate(reports) }.Run(memory);
        Assert.Equal(new MemoryPassProgress(200 << 20, 200 << 20), reports[^1]);
        Assert.InRange(reports.Count, 3, 5);
        Assert.Equal(reports.OrderBy(report => report.Done), reports);

        using var cancel = new CancellationTokenSource();
        var visited = 0;
        var visitor = new Counter(() =>
        {
            if (Interlocked.Increment(ref visited) == 3)
                cancel.Cancel();
        });
        Assert.ThrowsAny<OperationCanceledException>(() => new MemoryPass { Pages = visitor, Workers = 1 }.Run(memory, cancel.Token));
        Assert.Equal(3, visited);
    }

    [Fact]
    public void A_visitors_exception_reaches_the_caller()
    {
        var memory = TestMemory.OfSize(1 << 20);
        memory.PageAt(0);
        var visitor = new Counter(() => throw new InvalidDataException("from the visitor"));
        Assert.Equal("from the visitor", Assert.Throws<InvalidDataException>(() => new MemoryPass { Pages = visitor, Workers = 2 }.Run(memory)).Message);
    }

    [Fact]
    public void Memory_full_of_hits_ends_at_the_limit_and_says_so()
    {
        var memory = TestMemory.OfSize(64 * Page.Size);
        for (ulong at = 0; at < 64 * Page.Size; at += Page.Size)
            memory.PageAt(at).AsSpan().Fill(0xAA);
        var hits = MemoryPass.Find(memory, new PatternSet([new BytePattern([0xAA, 0xAA, 0xAA, 0xAA])]), 1000, out var complete);
        Assert.False(complete);
        Assert.Equal(1000, hits.Length);
    }

    [Fact]
    public void Patterns_that_make_no_sense_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new BytePattern([1, 2, 3]));
        Assert.Throws<ArgumentException>(() => new BytePattern(new byte[17]));
        Assert.Throws<ArgumentException>(() => new BytePattern(new byte[8]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BytePattern("Proc"u8, 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BytePattern("Proc"u8, 4, 4));
        Assert.Throws<ArgumentException>(() => new PatternSet([default]));
    }

    [Fact]
    public void Zero_pages_are_told_from_others()
    {
        var bytes = new byte[(5 * Page.Size) + 100];
        bytes[(2 * Page.Size) + 4095] = 1;
        bytes[3 * Page.Size] = 1;
        Assert.Equal((2 * Page.Size, true), (ZeroPages.Run(bytes, out var zero), zero));
        Assert.Equal((2 * Page.Size, false), (ZeroPages.Run(bytes.AsSpan(2 * Page.Size), out zero), zero));
        Assert.Equal((Page.Size + 100, true), (ZeroPages.Run(bytes.AsSpan(4 * Page.Size), out zero), zero));
        for (var i = 0; i < Page.Size; i += 37)
        {
            var page = new byte[Page.Size];
            Assert.True(ZeroPages.IsZero(page));
            page[i] = 0x80;
            Assert.False(ZeroPages.IsZero(page));
        }
    }

    private static TestMemory RandomMemory(Random random, bool maps)
    {
        // Few byte values make partial and overlapping matches common.
        var memory = new TestMemory(
            [new PhysicalRange(default, 10 * Page.Size), new PhysicalRange(new PhysicalAddress(0x1_0000_0000), 4 * Page.Size)], maps);
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                var kind = random.Next(8);
                if (kind == 0)
                    continue;
                var page = memory.PageAt(at.Value);
                if (kind == 1)
                {
                    memory.SetState(at.Value, PageState.Zero);
                    continue;
                }
                for (var i = 0; i < page.Length; i++)
                    page[i] = (byte)(random.Next(3) == 0 ? random.Next(4) : i & 1);
                if (kind == 2)
                    memory.SetState(at.Value, PageState.Excluded);
            }
        }
        return memory;
    }

    private static BytePattern RandomPattern(Random random)
    {
        var bytes = new byte[random.Next(3) == 0 ? random.Next(4, 17) : random.Next(4, 7)];
        do
        {
            for (var i = 0; i < bytes.Length; i++)
                bytes[i] = (byte)(random.Next(3) == 0 ? random.Next(4) : i & 1);
        }
        while (!bytes.AsSpan().ContainsAnyExcept((byte)0));
        var alignment = 1 << random.Next(5);
        return new BytePattern(bytes, alignment, random.Next(alignment));
    }

    private static List<PatternHit> Naive(PhysicalMemory memory, PatternSet patterns)
    {
        var hits = new List<PatternHit>();
        var bytes = new byte[BytePattern.MaxLength];
        foreach (var range in memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += 1)
            {
                var got = memory.Read(at, bytes);
                for (var i = 0; i < patterns.Count; i++)
                {
                    var pattern = patterns[i];
                    if (at.Value % (ulong)pattern.Alignment == (ulong)pattern.Phase && bytes.AsSpan(0, got).StartsWith(pattern.Bytes.Span))
                        hits.Add(new PatternHit(at, i));
                }
            }
        }
        return hits;
    }

    private sealed class Collector : IPageVisitor
    {
        public ConcurrentDictionary<ulong, byte[]> Seen { get; } = new();

        public void Visit(PhysicalAddress page, ReadOnlySpan<byte> bytes) => Assert.True(Seen.TryAdd(page.Value, bytes.ToArray()));
    }

    private sealed class Counter(Action action) : IPageVisitor
    {
        public void Visit(PhysicalAddress page, ReadOnlySpan<byte> bytes) => action();
    }

    private sealed class Immediate(List<MemoryPassProgress> reports) : IProgress<MemoryPassProgress>
    {
        public void Report(MemoryPassProgress value) => reports.Add(value);
    }
}
