using System.Runtime.InteropServices;

namespace Forengate.Memory.Tests;

public sealed class FileMemoryTests
{
    [Fact]
    public void Spans_start_anywhere_in_files_beyond_2_GiB()
    {
        using var file = new TemporaryFile(".raw");
        const long Far = (5L << 30) + 12345;
        using (var stream = File.Create(file.Path))
        {
            stream.SetLength(6L << 30);
            stream.Position = Far;
            stream.Write("far away"u8);
        }
        using var mapped = MappedFile.Open(file.Path);
        Assert.Equal(6L << 30, mapped.Length);
        Assert.True(mapped.Span(Far, 8).SequenceEqual("far away"u8));
        Assert.Equal(7, mapped.Span((6L << 30) - 7, 100).Length);
        Assert.True(mapped.Span(6L << 30, 100).IsEmpty);
        Assert.True(mapped.Span(-1, 100).IsEmpty);
        Assert.Equal(int.MaxValue, mapped.Span(1, int.MaxValue).Length);
        Assert.True(mapped.TryRead(Far, out uint word));
        Assert.Equal(MemoryMarshal.Read<uint>("far "u8), word);
        Assert.False(mapped.TryRead(ulong.MaxValue - 1, out uint _));
        Assert.False(mapped.Holds(ulong.MaxValue, 2));
        mapped.Advise(MappedFileAdvice.Sequential);
    }

    [Fact]
    public void Holes_of_a_sparse_file_are_zero_pages_and_a_pass_skips_them()
    {
        using var file = new TemporaryFile(".raw");
        using (var stream = File.Create(file.Path))
        {
            stream.SetLength(64 << 20);
            stream.Position = (33 << 20) + 100;
            stream.Write("Procfound"u8);
        }
        using var view = ImageReader.Open(file.Path);
        var at = new PhysicalAddress((33 << 20) + 100);
        Assert.Equal(PageState.Present, view.Memory.StateOf(at));
        Assert.Equal(PageState.Zero, view.Memory.StateOf(default));
        Assert.Equal(PageState.Zero, view.Memory.StateOf(new PhysicalAddress(50 << 20)));
        Assert.Equal([new PhysicalRange(default, 64 << 20)], view.Memory.Ranges);
        var bytes = new byte[64 << 20];
        Assert.Equal(bytes.Length, view.Memory.Read(default, bytes));
        Assert.True(bytes.AsSpan((33 << 20) + 100).StartsWith("Procfound"u8));
        Assert.Equal(9, bytes.Count(value => value != 0));
        var visitor = new Pages();
        new MemoryPass { Pages = visitor }.Run(view.Memory);
        Assert.InRange(visitor.Count, 1, 512);
        Assert.Equal(at, Assert.Single(MemoryPass.Find(view.Memory, new PatternSet([new BytePattern("Procfound"u8)]), 9, out _)).Address);
    }

    [Fact]
    public void Holes_are_found_whatever_the_order_of_the_extents()
    {
        const int Pages = 256;
        using var file = new TemporaryFile(".raw");
        using (var stream = File.Create(file.Path))
        {
            stream.SetLength(Pages * Page.Size);
            for (var page = 0; page < Pages; page += 1 + (page % 7))
            {
                stream.Position = (page * Page.Size) + 5;
                stream.WriteByte(0xEE);
            }
        }
        var random = new Random(1);
        var order = Enumerable.Range(0, Pages).ToArray();
        random.Shuffle(order);
        using var memory = new FileMemory(
            MappedFile.Open(file.Path), order.Select((at, page) => FileExtent.Stored(PhysicalAddress.FromFrame((ulong)page), Page.Size, (ulong)at * Page.Size)));
        var bytes = new byte[Page.Size];
        var zeros = 0;
        for (var page = 0; page < Pages; page++)
        {
            var address = PhysicalAddress.FromFrame((ulong)page);
            Assert.True(memory.TryRead(address, bytes));
            var isZero = ZeroPages.IsZero(bytes);
            Assert.True(isZero || memory.StateOf(address) == PageState.Present);
            Assert.Equal(isZero, order[page] is var at && !IsWritten(at));
            zeros += memory.StateOf(address) == PageState.Zero ? 1 : 0;
        }
        Assert.InRange(zeros, 1, Pages - 1);

        static bool IsWritten(int wanted)
        {
            for (var page = 0; page < Pages; page += 1 + (page % 7))
            {
                if (page == wanted)
                    return true;
            }
            return false;
        }
    }

    [Fact]
    public void A_file_shortened_while_open_loses_its_end_and_nothing_else()
    {
        using var file = new TemporaryFile(Enumerable.Repeat((byte)7, 64 * Page.Size).ToArray(), ".raw");
        using var view = ImageReader.Open(file.Path);
        using (var stream = new FileStream(file.Path, FileMode.Open, FileAccess.Write))
            stream.SetLength(10 * Page.Size);
        var visitor = new Pages();
        new MemoryPass { Pages = visitor, Patterns = new PatternSet([new BytePattern([7, 7, 7, 7])]) }.Run(view.Memory);
        Assert.Equal(10, visitor.Count);
        Assert.Equal(10 * Page.Size, view.Memory.Read(default, new byte[64 * Page.Size]));
        Assert.True(view.Memory.Map(new PhysicalAddress(20 * Page.Size), 8).IsEmpty);
        Assert.False(view.Memory.TryRead(new PhysicalAddress(30 * Page.Size), out ulong _));
    }

    [Fact]
    public void Random_extents_equal_a_naive_table()
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var bytes = new byte[24 * Page.Size];
            random.NextBytes(bytes);
            var extents = new List<FileExtent>();
            var truth = new (PageState State, int Offset)?[64];
            for (var i = random.Next(1, 12); i > 0; i--)
            {
                var (start, length) = (random.Next(56), random.Next(1, 8));
                if (random.Next(3) == 0)
                {
                    var state = random.Next(2) == 0 ? PageState.Excluded : PageState.Ballooned;
                    extents.Add(FileExtent.Without(PhysicalAddress.FromFrame((ulong)start), (ulong)length << 12, state));
                }
                else
                {
                    extents.Add(FileExtent.Stored(PhysicalAddress.FromFrame((ulong)start), (ulong)length << 12, (ulong)random.Next(26) << 12));
                }
            }
            // What is stored goes before what is not; then what starts lower, counting from where the file's end cuts an extent in two.
            var pieces = new List<(int Start, int End, PageState State, int Offset)>();
            foreach (var extent in extents)
            {
                var (start, end, offset) = ((int)extent.Start.Frame, (int)(extent.Start.Frame + (extent.Length >> 12)), (int)extent.FileOffset);
                var cut = extent.State == PageState.Present ? Math.Clamp(start + ((bytes.Length - offset) >> 12), start, end) : start;
                pieces.Add((start, cut, PageState.Present, offset));
                pieces.Add((cut, end, extent.State == PageState.Present ? PageState.Missing : extent.State, 0));
            }
            foreach (var piece in pieces.OrderBy(piece => piece.State != PageState.Present).ThenBy(piece => piece.Start))
            {
                for (var page = piece.Start; page < piece.End; page++)
                    truth[page] ??= (piece.State, piece.Offset + ((page - piece.Start) << 12));
            }

            using var file = new TemporaryFile(bytes);
            using var memory = new FileMemory(MappedFile.Open(file.Path), extents);
            var read = new byte[Page.Size];
            for (var page = 0; page < truth.Length; page++)
            {
                var address = PhysicalAddress.FromFrame((ulong)page);
                Assert.Equal(truth[page]?.State ?? PageState.Missing, memory.StateOf(address));
                Assert.Equal(truth[page] is not null, memory.Ranges.Any(range => range.Contains(address)));
                Assert.Equal(memory.StateOf(address), memory.RunAt(address, Page.Size).State);
                if (truth[page] is (PageState.Present, var offset))
                {
                    Assert.True(memory.TryRead(address, read));
                    Assert.True(read.AsSpan().SequenceEqual(bytes.AsSpan(offset, Page.Size)));
                }
                else
                {
                    Assert.Equal(0, memory.Read(address, read));
                }
            }
            for (var at = default(PhysicalAddress); at.Frame < 64;)
            {
                var run = memory.RunAt(at, 64 << 12);
                for (var page = run.Range.Start; page < run.Range.End && page.Frame < 64; page += Page.Size)
                    Assert.Equal(run.State, memory.StateOf(page));
                at = run.Range.End;
            }
        }
    }

    private sealed class Pages : IPageVisitor
    {
        private int _count;

        public int Count => _count;

        public void Visit(PhysicalAddress page, ReadOnlySpan<byte> bytes) => Interlocked.Increment(ref _count);
    }
}
