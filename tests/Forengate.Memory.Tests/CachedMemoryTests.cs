namespace Forengate.Memory.Tests;

public sealed class CachedMemoryTests
{
    [Fact]
    public void Gives_the_sources_bytes_and_asks_once()
    {
        var source = Source(out var truth);
        using var cache = new CachedMemory(source);
        var bytes = new byte[3 * Page.Size];
        for (var i = 0; i < 3; i++)
        {
            Assert.Equal(bytes.Length, cache.Read(new PhysicalAddress(100), bytes));
            Assert.Equal(truth[100..(100 + bytes.Length)], bytes);
        }
        Assert.Equal((1, 0), (source.ReadPagesCalls, source.Reads - source.PagesRead));
    }

    [Fact]
    public void States_come_through_and_a_read_stops_at_a_page_without_bytes()
    {
        var source = Source(out _);
        source.SetState(5 * Page.Size, PageState.Excluded);
        source.SetState(6 * Page.Size, PageState.Zero);
        using var cache = new CachedMemory(source);
        for (var i = 0; i < 2; i++)
        {
            Assert.Equal(Page.Size - 1, cache.Read(new PhysicalAddress((4 * Page.Size) + 1), new byte[3 * Page.Size]));
            var states = new PageState[3];
            PhysicalAddress[] pages = [PhysicalAddress.FromFrame(5), PhysicalAddress.FromFrame(6), PhysicalAddress.FromFrame(200_000)];
            var bytes = new byte[3 * Page.Size];
            bytes.AsSpan().Fill(0xEE);
            Assert.Equal(1, cache.ReadPages(pages, bytes, states));
            Assert.Equal([PageState.Excluded, PageState.Zero, PageState.Missing], states);
            Assert.True(ZeroPages.IsZero(bytes));
        }
    }

    [Fact]
    public void Stays_right_under_many_threads_and_more_pages_than_it_keeps()
    {
        var source = new Frozen(1024);
        using var cache = new CachedMemory(source, 1 << 20);
        Parallel.For(0, 4, seed =>
        {
            var random = new Random(seed);
            var bytes = new byte[8 * Page.Size];
            var states = new PageState[8];
            var pages = new PhysicalAddress[8];
            for (var i = 0; i < 500; i++)
            {
                var at = (ulong)random.Next((1024 - 8) * Page.Size);
                var length = random.Next(1, 5 * Page.Size);
                Assert.Equal(length, cache.Read(new PhysicalAddress(at), bytes.AsSpan(0, length)));
                for (var j = 0; j < length; j += 97)
                    Assert.Equal(Frozen.ByteAt(at + (ulong)j), bytes[j]);
                for (var j = 0; j < pages.Length; j++)
                    pages[j] = PhysicalAddress.FromFrame((ulong)random.Next(1024));
                Assert.Equal(8, cache.ReadPages(pages, bytes, states));
                for (var j = 0; j < pages.Length; j++)
                    Assert.Equal(Frozen.ByteAt(pages[j].Value + 77), bytes[(j * Page.Size) + 77]);
            }
        });
    }

    private static TestMemory Source(out byte[] truth)
    {
        var memory = TestMemory.OfSize(64 * Page.Size);
        truth = new byte[64 * Page.Size];
        new Random(3).NextBytes(truth);
        memory.Write(0, truth);
        return memory;
    }

    /// <summary>Memory whose bytes follow from their address, so that any thread can check any read.</summary>
    private sealed class Frozen(ulong pages) : PhysicalMemory
    {
        public override IReadOnlyList<PhysicalRange> Ranges => [new PhysicalRange(default, pages << Page.Shift)];

        public static byte ByteAt(ulong address) => (byte)(((address * 0x9E37_79B9_7F4A_7C15) + (address >> 12)) >> 40);

        public override PageState StateOf(PhysicalAddress address) => PageState.Present;

        public override int Read(PhysicalAddress address, Span<byte> destination)
        {
            for (var i = 0; i < destination.Length; i++)
                destination[i] = ByteAt(address.Value + (ulong)i);
            return destination.Length;
        }
    }
}
