namespace Forengate.Memory.Tests;

public sealed class OverlayMemoryTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Reads_and_spans_equal_a_plain_copy_after_random_writes(bool maps)
    {
        for (var seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var below = TestMemory.OfSize(64 * Page.Size, maps);
            var truth = new byte[64 * Page.Size];
            random.NextBytes(truth);
            below.Write(0, truth);
            var before = truth.ToArray();
            using var overlay = new OverlayMemory(below);
            for (var i = 0; i < 10; i++)
            {
                var bytes = new byte[random.Next(1, 3 * Page.Size)];
                random.NextBytes(bytes);
                var at = random.Next(truth.Length - bytes.Length);
                Assert.True(overlay.TryWrite(new PhysicalAddress((ulong)at), bytes));
                bytes.CopyTo(truth, at);
            }
            var read = new byte[truth.Length];
            Assert.Equal(truth.Length, overlay.Read(default, read));
            Assert.Equal(truth, read);
            for (var i = 0; i < 50; i++)
            {
                var at = random.Next(truth.Length);
                var span = overlay.Map(new PhysicalAddress((ulong)at), random.Next(1, 20000));
                Assert.True(span.SequenceEqual(truth.AsSpan(at, span.Length)));
                Assert.True(span.Length > 0 || !maps);
            }
            var pages = Enumerable.Range(0, 64).Select(frame => PhysicalAddress.FromFrame((ulong)frame)).ToArray();
            Assert.Equal(64, overlay.ReadPages(pages, read, new PageState[64]));
            Assert.Equal(truth, read);
            Assert.Equal(before.Length, below.Read(default, read));
            Assert.Equal(before, read);
        }
    }

    [Fact]
    public void Pages_that_are_not_written_to_are_mapped_from_below()
    {
        using var file = new TemporaryFile(new byte[16 * Page.Size]);
        using var below = new FileMemory(MappedFile.Open(file.Path), [FileExtent.Stored(default, 16 * Page.Size, 0)]);
        using var overlay = new OverlayMemory(below);
        Assert.True(overlay.TryWrite(new PhysicalAddress((5 * Page.Size) + 100), [1, 2, 3]));
        Assert.True(overlay.Map(default, 1 << 20) == below.Map(default, 5 * Page.Size));
        Assert.Equal(Page.Size - 50, overlay.Map(new PhysicalAddress((5 * Page.Size) + 50), 1 << 20).Length);
        Assert.True(overlay.Map(new PhysicalAddress(6 * Page.Size), 1 << 20) == below.Map(new PhysicalAddress(6 * Page.Size), 10 * Page.Size));
        Assert.Equal([5UL], overlay.PatchedFrames);
    }

    [Fact]
    public void Nothing_is_invented_around_a_write_to_a_page_without_bytes()
    {
        var below = TestMemory.OfSize(4 * Page.Size);
        below.PageAt(0);
        below.PageAt(Page.Size);
        below.SetState(Page.Size, PageState.Zero);
        using var overlay = new OverlayMemory(below);
        Assert.False(overlay.TryWrite(new PhysicalAddress((2 * Page.Size) - 4), new byte[8]));
        Assert.Empty(overlay.PatchedFrames);
        Assert.True(overlay.TryWrite(new PhysicalAddress((2 * Page.Size) - 4), [9, 9]));
        Assert.Equal(PageState.Present, overlay.StateOf(new PhysicalAddress(Page.Size)));
        Assert.True(overlay.TryWrite(new PhysicalAddress(2 * Page.Size), new byte[Page.Size]));
        Assert.Equal(PageState.Present, overlay.StateOf(new PhysicalAddress(2 * Page.Size)));
        Assert.False(overlay.TryWrite(new PhysicalAddress(4 * Page.Size), new byte[Page.Size]));
        Assert.Equal(
            [(0UL, 3UL, PageState.Present), (3, 1, PageState.Missing)],
            Runs(overlay).GroupBy(run => run.State).Select(group => (group.First().Range.Start.Frame, (ulong)group.Sum(run => (long)run.Range.PageCount), group.Key)));
    }

    [Fact]
    public void Writes_through_an_address_space_are_whole_or_not_at_all()
    {
        var below = TestMemory.OfSize(1 << 24);
        var tables = new PageTables(below);
        tables.Set(0xFFFF_F800_0000_0000, 1, 0x7000 | PageTables.P);
        tables.Set(0xFFFF_F800_0000_1000, 1, 0x3000 | PageTables.P);
        below.PageAt(0x7000);
        below.PageAt(0x3000);
        using var overlay = new OverlayMemory(below);
        var space = new AddressSpace(overlay, tables.Top);
        Assert.True(overlay.TryWrite(space, new VirtualAddress(0xFFFF_F800_0000_0FFE), [1, 2, 3, 4]));
        Assert.True(overlay.TryRead(new PhysicalAddress(0x7FFE), out ushort first));
        Assert.True(overlay.TryRead(new PhysicalAddress(0x3000), out ushort second));
        Assert.Equal((0x0201, 0x0403), (first, second));
        Assert.False(overlay.TryWrite(space, new VirtualAddress(0xFFFF_F800_0000_1FFE), [5, 6, 7, 8]));
        Assert.True(overlay.TryRead(new PhysicalAddress(0x3FFE), out ushort untouched));
        Assert.Equal(0, untouched);
    }

    private static List<PageRun> Runs(PhysicalMemory memory)
    {
        var runs = new List<PageRun>();
        for (var at = default(PhysicalAddress); at < memory.End;)
        {
            runs.Add(memory.RunAt(at, memory.End - at));
            at = runs[^1].Range.End;
        }
        return runs;
    }
}
