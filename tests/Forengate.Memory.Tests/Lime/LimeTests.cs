namespace Forengate.Memory.Tests.Lime;

public sealed class LimeTests
{
    [Fact]
    public void All_ranges_of_LiME_are_where_their_headers_say()
    {
        var (low, high) = (Memory(3, 1), Memory(2, 2));
        using var view = Open(new LimeBuilder().Plain(0x1000, low).Plain(0x1_0000_0000, high).Plain(0x8000, Memory(1, 3)).Build());
        Assert.Equal("LiME", view.Origin.Format);
        Assert.Equal("none", view.Origin.Packing);
        Assert.Equal([new PhysicalRange(At(0x1000), 0x3000), new PhysicalRange(At(0x8000), 0x1000), new PhysicalRange(At(0x1_0000_0000), 0x2000)], view.Memory.Ranges);
        AssertBytes(view.Memory, 0x1000, low);
        AssertBytes(view.Memory, 0x1_0000_0000, high);
        Assert.Empty(view.Origin.Damage);
        Assert.Empty(view.Cpus);
    }

    [Fact]
    public void Ranges_off_page_boundaries_give_their_whole_pages()
    {
        // As /proc/iomem has it: usable memory ends at 0x9fbff.
        var memory = Memory(0x9F, 1)[..0x9_EC00];
        using var view = Open(new LimeBuilder().Plain(0x1000, memory).Plain(0x10_0000, Memory(1, 2)).Build());
        Assert.Equal([new PhysicalRange(At(0x1000), 0x9_E000), new PhysicalRange(At(0x10_0000), 0x1000)], view.Memory.Ranges);
    }

    [Fact]
    public void Compressed_blocks_of_AVML_are_read_at_random_and_in_one_go()
    {
        var (packed, odd, plain) = (Memory(70, 4), Memory(5, 5)[..0x4C00], Memory(2, 6));
        using var view = Open(new LimeBuilder().Packed(0x10_0000, packed).Packed(0x1000, odd).Plain(0x1_0000_0000, plain).Packed(0x2_0000_0000, Memory(1, 7)).Build());
        Assert.Equal(("AVML", "snappy, none"), (view.Origin.Format, view.Origin.Packing));
        Assert.Equal(
            [new PhysicalRange(At(0x1000), 0x4000), new PhysicalRange(At(0x10_0000), 70 * Page.Size), new PhysicalRange(At(0x1_0000_0000), 0x2000), new PhysicalRange(At(0x2_0000_0000), 0x1000)],
            view.Memory.Ranges);
        AssertBytes(view.Memory, 0x10_0000, packed);
        AssertBytes(view.Memory, 0x1000, odd.AsSpan(0, 0x4000));
        AssertBytes(view.Memory, 0x1_0000_0000, plain);
        var random = new Random(1);
        for (var i = 0; i < 2000; i++)
        {
            var at = random.Next(packed.Length - 1);
            var length = Math.Min(random.Next(1, 9000), packed.Length - at);
            AssertBytes(view.Memory, 0x10_0000 + (ulong)at, packed.AsSpan(at, length));
        }
        Assert.Equal(PageState.Missing, view.Memory.StateOf(At(0x5000)));
        Assert.Equal(0, view.Memory.Read(At(0x5000), new byte[1]));
        Assert.Equal(new PageRun(new PhysicalRange(At(0x10_F000), 55 * Page.Size), PageState.Present), view.Memory.RunAt(At(0x10_F123), ulong.MaxValue));
        Assert.Equal(new PageRun(new PhysicalRange(At(0x5000), 0xF_B000), PageState.Missing), view.Memory.RunAt(At(0x5000), ulong.MaxValue));
    }

    [Fact]
    public void Many_threads_read_through_a_cache_that_is_too_small()
    {
        var packed = Memory(400, 8);
        using var file = new TemporaryFile(new LimeBuilder().Packed(0, packed).Build(), ".lime");
        using var view = ImageReader.Open(file.Path, new ImageOpenOptions { Limits = new ImageLimits { CacheBytes = 128 << 10 } });
        Parallel.For(0, 8, thread =>
        {
            var random = new Random(thread);
            for (var i = 0; i < 300; i++)
            {
                var at = random.Next(packed.Length - 5000);
                AssertBytes(view.Memory, (ulong)at, packed.AsSpan(at, random.Next(1, 5000)));
            }
        });
    }

    [Fact]
    public void A_frame_whose_checksum_is_wrong_reads_as_nothing()
    {
        var good = new LimeBuilder().Packed(0, Memory(40, 9)).Build();
        // Behind header, stream identifier and frame header: the checksum of the first frame.
        good[32 + 10 + 4] ^= 1;
        using var view = Open(good);
        var states = new PageState[3];
        Assert.Equal(1, view.Memory.ReadPages([At(0), At(0xF000), At(0x1_0000)], new byte[3 * Page.Size], states));
        Assert.Equal([PageState.Missing, PageState.Missing, PageState.Present], states);
    }

    [Fact]
    public void What_is_cut_off_or_broken_is_said_and_the_rest_is_read()
    {
        var first = Memory(2, 1);
        var whole = new LimeBuilder().Plain(0, first).Plain(0x10_0000, Memory(4, 2)).Build();
        using (var cut = Open(whole[..^0x1800]))
        {
            Assert.Contains("0x2000 of 0x6000 bytes of memory are missing", Assert.Single(cut.Origin.Damage), StringComparison.Ordinal);
            AssertBytes(cut.Memory, 0, first);
            Assert.Equal(PageState.Missing, cut.Memory.StateOf(At(0x10_3000)));
        }
        using (var garbage = Open(new LimeBuilder().Plain(0, first).Raw(new byte[100]).Build()))
            Assert.Contains("at file offset 0x2020 there is no header", Assert.Single(garbage.Origin.Damage), StringComparison.Ordinal);
        using (var headless = Open(new LimeBuilder().Plain(0, first).Raw("EMiL"u8.ToArray()).Build()))
            Assert.Contains("cut off within a header", Assert.Single(headless.Origin.Damage), StringComparison.Ordinal);
        var packed = new LimeBuilder().Packed(0x1000, Memory(40, 3)).Packed(0x10_0000, Memory(1, 4)).Build();
        using (var cut = Open(packed[..^0x8000]))
        {
            Assert.Contains("is cut off", Assert.Single(cut.Origin.Damage, line => line.StartsWith("the block", StringComparison.Ordinal)), StringComparison.Ordinal);
            AssertBytes(cut.Memory, 0x1000, Memory(40, 3).AsSpan(0, 0x1_0000));
            Assert.Equal(new PhysicalRange(At(0x1000), 40 * Page.Size), Assert.Single(cut.Memory.Ranges));
        }
        Assert.Contains("version 7", Refused(new LimeBuilder().Plain(0, first, version: 7).Build()), StringComparison.Ordinal);
        Assert.Contains("no possible memory", Refused(new LimeBuilder().Plain(0xFFFF_FFFF_FFFF_0000, Memory(2, 1)).Build()), StringComparison.Ordinal);
        Assert.Contains("not one whole page", Refused(new LimeBuilder().Plain(0x800, Memory(1, 1)).Build()), StringComparison.Ordinal);
    }

    private static string Refused(byte[] bytes)
    {
        using var file = new TemporaryFile(bytes, ".lime");
        return Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path)).Message;
    }

    private static View Open(byte[] bytes)
    {
        using var file = new TemporaryFile(bytes, ".lime");
        return ImageReader.Open(file.Path);
    }

    private static PhysicalAddress At(ulong address) => new(address);

    private static void AssertBytes(PhysicalMemory memory, ulong address, ReadOnlySpan<byte> expected)
    {
        var read = new byte[expected.Length];
        Assert.Equal(read.Length, memory.Read(At(address), read));
        Assert.True(expected.SequenceEqual(read));
    }

    /// <summary>Pages that pack well, badly and not at all.</summary>
    internal static byte[] Memory(int pages, int seed)
    {
        var bytes = new byte[pages * Page.Size];
        var random = new Random(seed);
        for (var page = 0; page < pages; page++)
        {
            var place = bytes.AsSpan(page * Page.Size, Page.Size);
            if (page / 16 % 2 == 1)
                random.NextBytes(place);
            else
                place.Fill((byte)random.Next(1, 256));
        }
        return bytes;
    }
}
