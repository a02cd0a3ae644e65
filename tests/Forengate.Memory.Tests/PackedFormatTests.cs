using System.IO.Compression;

namespace Forengate.Memory.Tests;

/// <summary>Images that somebody packed as a whole.</summary>
public sealed class PackedFormatTests
{
    [Fact]
    public void Raw_memory_may_be_packed_and_laid_out_as_the_user_says()
    {
        var memory = Memory(64);
        using var file = new TemporaryFile(Gzip(memory), ".raw.gz");
        using var view = ImageReader.Open(file.Path, new ImageOpenOptions { RawLowSize = 16 * Page.Size });
        Assert.Equal("gzip", view.Origin.Packing);
        Assert.Equal("raw image", view.Origin.Format);
        Assert.Equal(file.Path, view.Origin.Target);
        Assert.Equal(2, view.Memory.Ranges.Count);
        Assert.Equal(1UL << 32, view.Memory.Ranges[1].Start.Value);
        var page = new byte[Page.Size];
        for (var i = 0; i < 64; i++)
        {
            var address = new PhysicalAddress(i < 16 ? (ulong)i << Page.Shift : (1UL << 32) + ((ulong)(i - 16) << Page.Shift));
            Assert.Equal(Page.Size, view.Memory.Read(address, page));
            Assert.True(memory.AsSpan(i * Page.Size, Page.Size).SequenceEqual(page));
            Assert.Equal(i % 4 == 3 ? PageState.Zero : PageState.Present, view.Memory.StateOf(address));
        }
    }

    [Fact]
    public void A_save_file_may_be_packed_once_more()
    {
        using var plain = SeedMemoryTests.Seed("libvirt-save/raw.save.gz");
        using var file = new TemporaryFile(Gzip(File.ReadAllBytes(plain.Path)), ".save.gz");
        using var view = ImageReader.Open(file.Path);
        Assert.Equal("libvirt save file", view.Origin.Format);
        Assert.Equal("gzip", view.Origin.Packing);
        Assert.Equal("seed", view.Origin.GuestName);
        Assert.Equal(2UL << 20, view.Memory.Size);
    }

    [Fact]
    public void A_packed_image_cut_short_is_read_as_far_as_it_goes()
    {
        var memory = Memory(512);
        var packed = Gzip(memory);
        using var file = new TemporaryFile(packed.AsSpan(0, packed.Length / 2), ".raw.gz");
        using var view = ImageReader.Open(file.Path);
        Assert.Contains(view.Origin.Damage, line => line.Contains("cut off at 0x", StringComparison.Ordinal));
        var bytes = new byte[Page.Size];
        Assert.Equal(Page.Size, view.Memory.Read(new PhysicalAddress(0x2000), bytes));
        Assert.True(memory.AsSpan(0x2000, Page.Size).SequenceEqual(bytes));
        Assert.InRange(view.Memory.Size, 100UL * Page.Size, 300UL * Page.Size);
    }

    [Theory]
    [InlineData("just a text, nothing else", "text file")]
    [InlineData("QFI\u00FB a disk", "qcow2 disk image")]
    [InlineData("BZh91AY&SY", "packed by bzip2 twice")]
    [InlineData("\u0001\u0002\u0003", "too few for a machine's memory")]
    public void What_is_packed_and_no_image_is_named(string content, string said)
    {
        using var file = new TemporaryFile(Gzip(System.Text.Encoding.Latin1.GetBytes(content)), ".gz");
        var refused = Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path));
        Assert.Contains(said, refused.Message, StringComparison.Ordinal);
        Assert.Contains(file.Path, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public void A_packed_file_with_nothing_in_it_is_refused()
    {
        using var file = new TemporaryFile(Convert.FromHexString("1F8B080000000000000303000000000000000000"), ".raw.gz");
        Assert.Contains("holds nothing", Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path)).Message, StringComparison.Ordinal);
    }

    /// <summary>Noise, every fourth page zero.</summary>
    private static byte[] Memory(int pages)
    {
        var memory = new byte[pages * Page.Size];
        new Random(3).NextBytes(memory);
        for (var i = 3; i < pages; i += 4)
            memory.AsSpan(i * Page.Size, Page.Size).Clear();
        return memory;
    }

    private static byte[] Gzip(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var packer = new GZipStream(packed, CompressionLevel.Fastest))
            packer.Write(bytes);
        return packed.ToArray();
    }
}
