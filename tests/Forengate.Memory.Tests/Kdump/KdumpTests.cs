using System.IO.Compression;
using System.Text;
using Forengate.Testing;

namespace Forengate.Memory.Tests.Kdump;

/// <summary>Kdumps laid out by hand: every version, codec and form, and what is wrong with some.</summary>
public sealed class KdumpTests
{
    private const ulong FirstHigh = 0x10_0000;

    public static TheoryData<bool, bool, int> Shapes =>
        [.. from is64 in new[] { true, false } from flattened in new[] { true, false } from version in Enumerable.Range(1, 6) select (is64, flattened, version)];

    [Theory, MemberData(nameof(Shapes))]
    public void Every_version_of_both_layouts_is_read(bool is64, bool flattened, int version)
    {
        var builder = Sample(is64);
        builder.Version = version;
        builder.Seconds = 1_700_000_000;
        using var view = Open(flattened ? KdumpBuilder.Flatten(builder.Build()) : builder.Build());
        AssertSample(view);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal($"kdump-compressed (version {version}{(flattened ? ", flattened" : "")}{(is64 ? "" : ", 32-bit")})", view.Origin.Format);
        Assert.Equal("zlib, LZO, Snappy, zstd", view.Origin.Packing);
        Assert.Equal(1_700_000_000, view.Origin.TakenAt!.Value.ToUnixTimeSeconds());
        // Notes came with version 4.
        Assert.Equal(version < 4 ? [] : [10UL, 20UL], view.Cpus.Select(cpu => cpu.Rax!.Value));
        Assert.Equal(version < 4 ? null : "QEMU", view.Origin.Producer);
    }

    [Fact]
    public void Pages_are_found_by_the_bits_before_them()
    {
        // Irregular stretches over several words and over the counted groups of words.
        var builder = new KdumpBuilder();
        var random = new Random(5);
        var expected = new Dictionary<ulong, byte[]>();
        for (var frame = 0UL; frame < 3000; frame++)
        {
            if (random.Next(4) == 0)
                builder.Page(frame, expected[frame] = KdumpBuilder.Text((int)frame), frame % 3 == 0 ? Packing.Plain : Packing.Zlib);
            else if (random.Next(9) == 0)
                builder.Excluded(frame);
        }
        using var view = Open(builder.Build());
        var page = new byte[Page.Size];
        foreach (var frame in expected.Keys)
        {
            Assert.Equal(Page.Size, view.Memory.Read(PhysicalAddress.FromFrame(frame), page));
            Assert.Equal(expected[frame], page);
        }
        // Runs say the same as single pages, whatever the limit.
        for (var frame = 0UL; frame < 3100; frame += 7)
        {
            var run = view.Memory.RunAt(PhysicalAddress.FromFrame(frame), 100 * Page.Size);
            Assert.InRange(run.Range.PageCount, 1UL, 100UL);
            for (var at = run.Range.Start; at < run.Range.End; at += Page.Size)
                Assert.Equal(run.State, view.Memory.StateOf(at));
            if (run.Range.PageCount < 100)
                Assert.NotEqual(run.State, view.Memory.StateOf(run.Range.End));
        }
    }

    [Fact]
    public void Large_reads_and_batches_give_the_same_as_single_ones_and_stop_at_the_first_page_that_is_not_there()
    {
        var builder = new KdumpBuilder();
        for (var frame = 0; frame < 1000; frame++)
            builder.Page((ulong)frame, frame % 50 == 0 ? new byte[Page.Size] : KdumpBuilder.Text(frame), frame % 5 == 0 ? Packing.Plain : Packing.Zstd);
        builder.Excluded(900);
        using var view = Open(builder.Build());
        var all = new byte[1000 * Page.Size];
        Assert.Equal(900 * Page.Size, view.Memory.Read(default, all));
        for (var frame = 0; frame < 900; frame++)
            Assert.True(all.AsSpan(frame * Page.Size, Page.Size).SequenceEqual(frame % 50 == 0 ? new byte[Page.Size] : KdumpBuilder.Text(frame)));
        Assert.Equal((900 * Page.Size) - 77, view.Memory.Read(new PhysicalAddress(77), all));

        var pages = Enumerable.Range(0, 1000).Select(i => PhysicalAddress.FromFrame((ulong)(i * 617 % 1000))).ToArray();
        var states = new PageState[1000];
        Assert.Equal(999, view.Memory.ReadPages(pages, all, states));
        for (var i = 0; i < 1000; i++)
        {
            var frame = (int)pages[i].Frame;
            Assert.Equal(frame == 900 ? PageState.Excluded : frame % 50 == 0 ? PageState.Zero : PageState.Present, states[i]);
            Assert.True(all.AsSpan(i * Page.Size, Page.Size).SequenceEqual(states[i] == PageState.Present ? KdumpBuilder.Text(frame) : new byte[Page.Size]));
        }
    }

    [Fact]
    public void Plain_pages_that_follow_each_other_are_mapped_as_one()
    {
        var builder = new KdumpBuilder();
        for (var frame = 0; frame < 100; frame++)
            builder.Page((ulong)frame, frame == 60 ? KdumpBuilder.Text(frame) : KdumpBuilder.Noise(frame), frame == 60 ? Packing.Zlib : Packing.Plain);
        using var view = Open(builder.Build());
        Assert.Equal(60 * Page.Size, view.Memory.Map(default, 100 * Page.Size).Length);
        Assert.Equal(Page.Size - 5, view.Memory.Map(new PhysicalAddress((61 * Page.Size) + 5), Page.Size - 5).Length);
        Assert.True(view.Memory.Map(PhysicalAddress.FromFrame(60), Page.Size).IsEmpty);
        Assert.True(view.Memory.Map(PhysicalAddress.FromFrame(61), 39 * Page.Size).SequenceEqual(Enumerable.Range(61, 39).SelectMany(KdumpBuilder.Noise).ToArray()));
    }

    [Fact]
    public void One_of_several_files_of_a_dump_gives_its_own_part()
    {
        foreach (var version in new[] { 2, 6 })
        {
            var builder = Sample(is64: true);
            builder.Version = version;
            builder.Split = (FirstHigh, FirstHigh + 2);
            using var view = Open(builder.Build());
            Assert.Contains(view.Origin.Damage, line => line.Contains("split over several files", StringComparison.Ordinal));
            Assert.Equal(PageState.Missing, view.Memory.StateOf(default));
            AssertPage(view, FirstHigh, KdumpBuilder.Text(6));
            AssertPage(view, FirstHigh + 1, KdumpBuilder.Noise(7));
            Assert.Equal(PageState.Excluded, view.Memory.StateOf(PhysicalAddress.FromFrame(FirstHigh + 2)));
        }
    }

    [Fact]
    public void A_single_bitmap_is_taken_for_what_is_dumped()
    {
        var builder = new KdumpBuilder { OneBitmap = true }.Page(0, KdumpBuilder.Text(1)).Page(32760, KdumpBuilder.Text(2));
        using var view = Open(builder.Build());
        AssertPage(view, 0, KdumpBuilder.Text(1));
        AssertPage(view, 32760, KdumpBuilder.Text(2));
        Assert.Equal([new PhysicalRange(default, Page.Size), new PhysicalRange(PhysicalAddress.FromFrame(32760), Page.Size)], view.Memory.Ranges);
    }

    [Fact]
    public void Firmware_and_device_memory_is_left_out_as_in_cores()
    {
        var builder = new KdumpBuilder { Notes = ElfCoreBuilder.QemuNote(1) };
        foreach (var frame in new ulong[] { 0, 0x7_FFFF, 0x8_0000, 0xF_D000, 0xF_FFFF, 0x10_0000 })
            builder.Page(frame, KdumpBuilder.Text((int)frame));
        using var view = Open(builder.Build());
        Assert.Equal(
            [new PhysicalRange(default, Page.Size), new PhysicalRange(PhysicalAddress.FromFrame(0x7_FFFF), 2 * Page.Size), new PhysicalRange(PhysicalAddress.FromFrame(0x10_0000), Page.Size)],
            view.Memory.Ranges);
        Assert.Equal(PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(0xF_FFFF)));
        AssertPage(view, 0x10_0000, KdumpBuilder.Text(0x10_0000));
        Assert.Equal(2, view.Origin.Remarks.Count(remark => remark.Contains("firmware or device memory", StringComparison.Ordinal)));
    }

    [Fact]
    public void Pieces_written_twice_count_as_written_last()
    {
        var plain = Sample(is64: true).Build();
        var flat = new MemoryStream();
        flat.Write(KdumpBuilder.Flatten(plain, 4000, endMark: false));
        var noise = KdumpBuilder.Noise(1);
        // Spoilt in several places, over borders of pieces, and put right by later ones.
        foreach (var at in new[] { 3990, 8100, plain.Length - 5000 })
            KdumpBuilder.AddPiece(flat, at, noise);
        foreach (var (at, length) in new[] { (3990, 4096), (8000, 5000), (plain.Length - 5100, 5100) })
            KdumpBuilder.AddPiece(flat, at, plain.AsSpan(at, length));
        KdumpBuilder.AddPlace(flat, -1, -1);
        using var view = Open(flat.ToArray());
        Assert.Empty(view.Origin.Damage);
        AssertSample(view);
    }

    [Fact]
    public void Damaged_pages_are_missing_and_the_rest_is_read()
    {
        var good = Sample(is64: true).Build();
        var descriptors = (int)DescriptorsOf(good);
        // Data: the first page's, packed by zlib, which has a checksum; LZO and Snappy have none. Descriptors: the third's codec, the fourth's offset.
        var bad = (byte[])good.Clone();
        var offset = BitConverter.ToInt64(bad, descriptors);
        bad.AsSpan((int)offset + 8, 40).Fill(0xEE);
        bad[descriptors + (2 * 24) + 12] = 0x41;
        bad.AsSpan(descriptors + (3 * 24), 8).Fill(0x7F);
        using var view = Open(bad);
        Assert.Contains(view.Origin.Damage, line => line.Contains("0x2000 bytes of memory are missing", StringComparison.Ordinal) && line.Contains("0x2000-0x4000", StringComparison.Ordinal));
        AssertPage(view, 1, KdumpBuilder.Text(2));
        Assert.Equal([PageState.Missing, PageState.Missing], new ulong[] { 2, 3 }.Select(frame => view.Memory.StateOf(PhysicalAddress.FromFrame(frame))));
        // What is wrong within packed data shows only when it is read.
        Assert.Equal(PageState.Present, view.Memory.StateOf(default));
        Assert.Equal(0, view.Memory.Read(default, new byte[5 * Page.Size]));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(default));
        AssertPage(view, FirstHigh, KdumpBuilder.Text(6));
    }

    [Fact]
    public void A_bad_page_ends_a_large_read_exactly_before_it()
    {
        var builder = new KdumpBuilder();
        for (var frame = 0; frame < 600; frame++)
            builder.Page((ulong)frame, KdumpBuilder.Text(frame));
        var bytes = builder.Build();
        var descriptors = (int)DescriptorsOf(bytes);
        foreach (var frame in new[] { 555, 333, 334 })
            bytes.AsSpan((int)BitConverter.ToInt64(bytes, descriptors + (frame * 24)) + 4, 60).Fill(0xEE);
        using var view = Open(bytes);
        var all = new byte[600 * Page.Size];
        Assert.Equal(333 * Page.Size, view.Memory.Read(default, all));
        Assert.True(all.AsSpan(332 * Page.Size, Page.Size).SequenceEqual(KdumpBuilder.Text(332)));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(333)));
    }

    [Theory, InlineData(false), InlineData(true)]
    public void Every_prefix_is_read_as_far_as_it_goes_or_refused(bool flattened)
    {
        var whole = Sample(is64: true).Build();
        if (flattened)
            whole = KdumpBuilder.Flatten(whole);
        for (var length = 20; length < whole.Length; length += length < 500 ? 7 : 509)
        {
            using var file = new TemporaryFile(whole.AsSpan(0, length), ".kdump");
            try
            {
                using var view = ImageReader.Open(file.Path);
                Assert.NotEmpty(view.Origin.Damage);
                Assert.InRange(view.Memory.Read(default, new byte[16 * Page.Size]), 0, 5 * Page.Size);
            }
            catch (ImageFormatException e)
            {
                Assert.DoesNotContain('\n', e.Message);
                Assert.Contains(file.Path, e.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void What_is_not_for_us_is_refused_with_a_reason()
    {
        AssertRefused(new KdumpBuilder { Machine = "aarch64" }.Page(0, KdumpBuilder.Text(1)).Build(), "another processor (aarch64)");
        AssertRefused(new KdumpBuilder().Excluded(1 << 20).Build()[..20000], "cut off within its bitmaps");
        AssertRefused(KdumpBuilder.Flatten(new ElfCoreBuilder().Load(0, KdumpBuilder.Text(1)).Build()), "flattened ELF core");
        AssertRefused(KdumpBuilder.Flatten(KdumpBuilder.Noise(1)), "no kdump");
        AssertRefused(new KdumpBuilder { Frames = 8 }.Build(), "without any memory");
        var large = new KdumpBuilder().Page(0, KdumpBuilder.Text(1)).Build();
        BitConverter.TryWriteBytes(large.AsSpan(428), 65536);
        AssertRefused(large, "pages of 65536 bytes");
        var nonsense = new KdumpBuilder().Page(0, KdumpBuilder.Text(1)).Build();
        nonsense.AsSpan(424, 40).Fill(0x33);
        AssertRefused(nonsense, "makes no sense");
        foreach (var (at, size) in new[] { (8, 4), (424, 4), (428, 4), (432, 4), (436, 4), (440, 4) })
            large.AsSpan(at, size).Reverse();
        BitConverter.TryWriteBytes(large.AsSpan(428), System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(4096));
        AssertRefused(large, "big-endian");
        var flat = KdumpBuilder.Flatten(Sample(is64: true).Build());
        flat[23] = 9;
        AssertRefused(flat, "type 9");
    }

    [Fact]
    public void Limits_are_kept()
    {
        var limits = new ImageLimits { IndexBytes = 4096 };
        using var file = new TemporaryFile(new KdumpBuilder().Page(0x10_0000, KdumpBuilder.Text(1)).Build(), ".kdump");
        Assert.Contains("the limit is 4096", Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path, new ImageOpenOptions { Limits = limits })).Message, StringComparison.Ordinal);
        using var flat = new TemporaryFile(KdumpBuilder.Flatten(Sample(is64: true).Build(), 100), ".kdump");
        Assert.Contains("more than 170 pieces", Assert.Throws<ImageFormatException>(() => ImageReader.Open(flat.Path, new ImageOpenOptions { Limits = limits })).Message, StringComparison.Ordinal);
        // A cache of one page a part is slow and right.
        using var small = new TemporaryFile(Sample(is64: true).Build(), ".kdump");
        using var view = ImageReader.Open(small.Path, new ImageOpenOptions { Limits = new ImageLimits { CacheBytes = 0 } });
        AssertSample(view);
    }

    [Fact]
    public void Seeds_of_the_corpus_are_what_their_names_say()
    {
        var seen = new Dictionary<string, string>();
        foreach (var path in Directory.EnumerateFiles(Checkout.PathOf("tests/corpus/kdump")))
        {
            using var packed = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
            var bytes = new MemoryStream();
            packed.CopyTo(bytes);
            using var view = Open(bytes.ToArray());
            var name = Path.GetFileName(path);
            Assert.Equal((name, name.Contains("cut", StringComparison.Ordinal) || name.StartsWith("split", StringComparison.Ordinal)), (name, view.Origin.Damage.Count != 0));
            Assert.Equal(name.Contains("flattened", StringComparison.Ordinal), view.Origin.Format.Contains("flattened", StringComparison.Ordinal));
            if (name.StartsWith("qemu", StringComparison.Ordinal) && view.Origin.Damage.Count == 0)
            {
                // All three were made of the same machine, which had a text at 0x8000 and never ran.
                var text = new byte[64];
                Assert.True(view.Memory.TryRead(new PhysicalAddress(0x8000), text));
                Assert.StartsWith("# Forengate", Encoding.ASCII.GetString(text), StringComparison.Ordinal);
                Assert.Equal(("QEMU", 2, 0xFFF0UL), (view.Origin.Producer, view.Cpus.Count, view.Cpus[0].Rip!.Value));
                seen[name] = string.Join(" ", view.Memory.Ranges);
            }
        }
        Assert.Equal(3, seen.Count);
        Assert.Single(seen.Values.Distinct());
    }

    /// <summary>Five pages at 0, zeros among them, and three at 4 GiB, one of them excluded; every codec.</summary>
    internal static KdumpBuilder Sample(bool is64)
    {
        var builder = new KdumpBuilder(is64) { Notes = [.. ElfCoreBuilder.PrStatus64(1, 0), .. ElfCoreBuilder.PrStatus64(2, 0), .. ElfCoreBuilder.QemuNote(10), .. ElfCoreBuilder.QemuNote(20)] };
        return builder.Page(0, KdumpBuilder.Text(1)).Page(1, KdumpBuilder.Text(2), Packing.Lzo).Page(2, KdumpBuilder.Text(3), Packing.Snappy).Page(3, KdumpBuilder.Text(4), Packing.Zstd)
            .Page(4, new byte[Page.Size]).Page(FirstHigh, KdumpBuilder.Text(6)).Page(FirstHigh + 1, KdumpBuilder.Noise(7), Packing.Plain).Excluded(FirstHigh + 2);
    }

    private static void AssertSample(View view)
    {
        Assert.Equal([new PhysicalRange(default, 5 * Page.Size), new PhysicalRange(PhysicalAddress.FromFrame(FirstHigh), 3 * Page.Size)], view.Memory.Ranges);
        for (var frame = 0; frame < 4; frame++)
            AssertPage(view, (ulong)frame, KdumpBuilder.Text(frame + 1));
        AssertPage(view, 4, new byte[Page.Size]);
        AssertPage(view, FirstHigh, KdumpBuilder.Text(6));
        AssertPage(view, FirstHigh + 1, KdumpBuilder.Noise(7));
        Assert.Equal(
            [PageState.Present, PageState.Zero, PageState.Missing, PageState.Excluded],
            new ulong[] { 0, 4, 5, FirstHigh + 2 }.Select(frame => view.Memory.StateOf(PhysicalAddress.FromFrame(frame))));
        Assert.Equal(0, view.Memory.Read(PhysicalAddress.FromFrame(FirstHigh + 2), new byte[8]));
    }

    private static void AssertPage(View view, ulong frame, byte[] expected)
    {
        var page = new byte[Page.Size];
        Assert.Equal(Page.Size, view.Memory.Read(PhysicalAddress.FromFrame(frame), page));
        Assert.Equal(expected, page);
        // A part of it, from the cache by now.
        Assert.Equal(100, view.Memory.Read(PhysicalAddress.FromFrame(frame) + 1234, page.AsSpan(0, 100)));
        Assert.True(expected.AsSpan(1234, 100).SequenceEqual(page.AsSpan(0, 100)));
    }

    /// <summary>By the header's own numbers.</summary>
    private static uint DescriptorsOf(byte[] file) => (1 + BitConverter.ToUInt32(file, 432) + BitConverter.ToUInt32(file, 436)) * 4096;

    private static View Open(byte[] bytes)
    {
        // A mapped file may be deleted at once.
        using var file = new TemporaryFile(bytes, ".kdump");
        return ImageReader.Open(file.Path);
    }

    private static void AssertRefused(byte[] bytes, string reason)
    {
        using var file = new TemporaryFile(bytes, ".kdump");
        Assert.Contains(reason, Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path)).Message, StringComparison.Ordinal);
    }
}
