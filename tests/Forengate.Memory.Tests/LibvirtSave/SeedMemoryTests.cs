using System.IO.Compression;
using Forengate.Testing;

namespace Forengate.Memory.Tests;

/// <summary>The corpus' save files, streams and packed images are of one memory: a few pages at 32 KiB, in a machine of 2 MiB.</summary>
public sealed class SeedMemoryTests
{
    private const ulong Start = 0x8000;
    private const int Length = 9 * Page.Size;

    [Theory]
    [InlineData("libvirt-save/raw.save.gz", "none")]
    [InlineData("libvirt-save/gzip.save.gz", "gzip")]
    [InlineData("libvirt-save/bzip2.save.gz", "bzip2")]
    [InlineData("libvirt-save/xz.save.gz", "xz")]
    [InlineData("libvirt-save/lzop.save.gz", "lzop")]
    [InlineData("libvirt-save/zstd.save.gz", "zstd")]
    [InlineData("libvirt-save/sparse.save.gz", "none")]
    [InlineData("libvirt-save/big-endian.save.gz", "none")]
    [InlineData("mapped-ram/pc.qevm.gz", "none")]
    [InlineData("packed/stream.gz.gz", "gzip")]
    [InlineData("packed/stream.zst", "zstd")]
    [InlineData("packed/memory.raw.bz2", "bzip2")]
    [InlineData("packed/memory.raw.lzo", "lzop")]
    [InlineData("packed/memory.raw.xz", "xz")]
    public void A_whole_seed_holds_the_memory(string name, string packing)
    {
        using var file = Seed(name);
        using var view = ImageReader.Open(file.Path);
        Assert.Equal(packing, view.Origin.Packing ?? "none");
        Assert.Equal((ulong)new FileInfo(file.Path).Length, view.Origin.FileBytes);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(Expected(), Bytes(view));
        if (name.StartsWith("libvirt-save", StringComparison.Ordinal))
        {
            Assert.Equal("seed", view.Origin.GuestName);
            Assert.Contains(view.Origin.Remarks, remark => remark == $"the guest was {(name.Contains("big-endian", StringComparison.Ordinal) ? "running" : "paused")} when it was saved");
        }
        if (!name.Contains(".raw", StringComparison.Ordinal))
        {
            Assert.Equal(new PhysicalRange(default, 2 << 20), view.Memory.Ranges[0]);
            Assert.StartsWith("pc-i440fx-", view.Origin.Machine, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("libvirt-save/part.save.gz", "LibvirtQemudPart", 0)]
    [InlineData("libvirt-save/gzip-cut.save.gz", "the packed data are cut off at 0x", 1)]
    [InlineData("mapped-ram/cut.qevm.gz", "lie at 0x100000, behind the end of the file", 0)]
    [InlineData("mapped-ram/unfinished.qevm.gz", "never written", 3)]
    public void A_seed_cut_short_is_read_as_far_as_it_goes(string name, string said, int lost)
    {
        using var file = Seed(name);
        using var view = ImageReader.Open(file.Path);
        Assert.Contains(view.Origin.Damage, line => line.Contains(said, StringComparison.Ordinal));
        Assert.Equal(2UL << 20, view.Memory.Ranges[0].Length);
        var (expected, page, missing) = (Expected(), new byte[Page.Size], 0);
        for (var at = 0; at < Length; at += Page.Size)
        {
            if (view.Memory.Read(new PhysicalAddress(Start + (ulong)at), page) == Page.Size)
                Assert.True(expected.AsSpan(at, Page.Size).SequenceEqual(page), $"page 0x{at:x}");
            else
                missing++;
        }
        // RAM comes first in a stream: a half of it has the low pages. With mapped-ram, zero pages are known by the bitmap only.
        Assert.Equal(lost, missing);
        Assert.NotEqual(PageState.Present, view.Memory.StateOf(new PhysicalAddress((2 << 20) - Page.Size)));
    }

    [Fact]
    public void Spooling_leaves_nothing_behind_and_says_how_far_it_is()
    {
        using var file = Seed("libvirt-save/xz.save.gz");
        var folder = Directory.CreateTempSubdirectory("forengate-spool-").FullName;
        try
        {
            var told = new List<ImageOpenProgress>();
            using (var view = ImageReader.Open(file.Path, new ImageOpenOptions { CacheFolder = folder, Progress = new Told(told) }))
            {
                Assert.Empty(Directory.GetFiles(folder, "*.spool"));
                Assert.Equal(Expected(), Bytes(view));
                Assert.Contains(view.Origin.Remarks, remark => remark.StartsWith("xz can't be read at random", StringComparison.Ordinal) && remark.Contains(folder, StringComparison.Ordinal));
            }
            Assert.All(told, progress => Assert.InRange(progress.Done, 0, progress.Total));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_spool_keeps_to_its_bound()
    {
        foreach (var name in (string[])["libvirt-save/gzip.save.gz", "packed/memory.raw.xz"])
        {
            using var file = Seed(name);
            var options = new ImageOpenOptions { Limits = ImageLimits.Default with { SpoolBytes = 2 * Page.Size } };
            var refused = Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path, options));
            Assert.Contains("the bound that is set", refused.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_folder_that_can_t_be_written_is_named()
    {
        using var file = Seed("libvirt-save/gzip.save.gz");
        var refused = Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path, new ImageOpenOptions { CacheFolder = "/proc/nothing" }));
        Assert.Contains("no file can be made in '/proc/nothing'", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>The seed as its reader sees it: without the gzip around it that keeps the corpus small.</summary>
    internal static TemporaryFile Seed(string name)
    {
        var path = Checkout.PathOf("tests/corpus/" + name);
        if (!name.EndsWith(".gz", StringComparison.Ordinal))
            return new TemporaryFile(File.ReadAllBytes(path), string.Concat(Path.GetFileName(path).SkipWhile(letter => letter != '.')));
        using var unpacked = new MemoryStream();
        using (var packed = new GZipStream(File.OpenRead(path), CompressionMode.Decompress))
            packed.CopyTo(unpacked);
        return new TemporaryFile(unpacked.ToArray(), Path.GetExtension(name[..^3]));
    }

    /// <summary>Read by nothing but the zstd program's decoder and the raw reader.</summary>
    private static byte[] Expected()
    {
        using var file = Seed("packed/memory.raw.zst");
        using var view = ImageReader.Open(file.Path);
        var bytes = Bytes(view);
        Assert.True(bytes.AsSpan(Page.Size, Page.Size).ContainsAnyExcept((byte)0));
        return bytes;
    }

    private static byte[] Bytes(View view)
    {
        using (view)
        {
            var bytes = new byte[Length];
            Assert.Equal(Length, view.Memory.Read(new PhysicalAddress(Start), bytes));
            return bytes;
        }
    }

    private sealed class Told(List<ImageOpenProgress> list) : IProgress<ImageOpenProgress>
    {
        public void Report(ImageOpenProgress value) => list.Add(value);
    }
}
