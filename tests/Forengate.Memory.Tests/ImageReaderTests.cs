using System.Text;

namespace Forengate.Memory.Tests;

public sealed class ImageReaderTests
{
    [Theory]
    [InlineData("", "it is empty")]
    [InlineData("just some notes\nof a person, once\r\n\twith a tab – and more", "a text file")]
    [InlineData("PK\u0003\u0004xxxx", "zip")]
    [InlineData("QEVM\0\0\0\u0003", "migration stream")]
    [InlineData("LibvirtQemudSave\u0002\0", "libvirt save file")]
    [InlineData("KDUMP   \u0006\0", "kdump")]
    [InlineData("\u0000\u0001\u0002", "too few")]
    public void What_is_no_image_is_refused_with_a_reason(string content, string reason)
    {
        using var file = new TemporaryFile(Encoding.UTF8.GetBytes(content), ".dat");
        AssertRefused(file.Path, reason);
    }

    [Fact]
    public void Things_that_are_no_files_are_refused_with_a_reason()
    {
        AssertRefused(Path.GetTempPath(), "a directory");
        AssertRefused("/dev/null", "character device");
        AssertRefused("/nowhere/at/all", "no such file");
        using var pipe = new TemporaryFile(".pipe");
        using (var mkfifo = System.Diagnostics.Process.Start("mkfifo", pipe.Path))
            mkfifo.WaitForExit();
        AssertRefused(pipe.Path, "a pipe");
        using var socket = new TemporaryFile(".socket");
        using var listener = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, default);
        listener.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(socket.Path));
        AssertRefused(socket.Path, "a socket");
    }

    [Fact]
    public void A_gzip_or_qcow2_or_program_is_named()
    {
        AssertRefused([0x1F, 0x8B, 8, 0], "gzip");
        AssertRefused([(byte)'Q', (byte)'F', (byte)'I', 0xFB, 0, 0, 0, 3], "qcow2");
        var program = new byte[0x200];
        "MZ"u8.CopyTo(program);
        program[0x3C] = 0x80;
        "PE\0\0"u8.CopyTo(program.AsSpan(0x80));
        AssertRefused(program, "Windows program");

        static void AssertRefused(byte[] content, string reason)
        {
            using var file = new TemporaryFile(content, ".bin");
            ImageReaderTests.AssertRefused(file.Path, reason);
        }
    }

    [Fact]
    public void Raw_is_taken_by_extension_by_option_or_when_nothing_speaks_against_it()
    {
        var memory = new byte[(1 << 20) + 17];
        new Random(1).NextBytes(memory);
        AssertRaw(memory.AsSpan(0, 3 * Page.Size), ".raw", null, 3 * Page.Size);
        AssertRaw(memory.AsSpan(0, (3 * Page.Size) + 5), ".MEM", null, 3 * Page.Size);
        AssertRaw(memory.AsSpan(0, 1 << 20), ".whatever", null, 1 << 20);
        AssertRaw(memory.AsSpan(0, 3 * Page.Size), ".whatever", new ImageOpenOptions { Format = "raw" }, 3 * Page.Size);
        using var odd = new TemporaryFile(memory, ".whatever");
        AssertRefused(odd.Path, "multiple of 4096");
        using var tiny = new TemporaryFile(memory.AsSpan(0, 100), ".raw");
        AssertRefused(tiny.Path, "less than one page");
    }

    [Fact]
    public void A_raw_image_without_its_hole_is_put_where_it_belongs()
    {
        var bytes = new byte[8 * Page.Size];
        new Random(2).NextBytes(bytes);
        using var file = new TemporaryFile(bytes, ".raw");
        AssertLayout(new ImageOpenOptions { RawLowSize = 5 * Page.Size });
        AssertLayout(new ImageOpenOptions { RawLayout = RawLayout.Parse("0-0x5000,4G+12K") });
        AssertLayout(new ImageOpenOptions { RawLayout = RawLayout.Parse("0x100000000-0x100003000=0x5000, 0+20K=0") });
        var refused = Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path, new ImageOpenOptions { RawLowSize = 77 }));
        Assert.Contains("RAM below 4 GiB", refused.Message, StringComparison.Ordinal);
        using (var cut = ImageReader.Open(file.Path, new ImageOpenOptions { RawLayout = RawLayout.Parse("0-0x7000,0x10000-0x14000") }))
        {
            Assert.Equal(PageState.Present, cut.Memory.StateOf(new PhysicalAddress(0x10000)));
            Assert.Equal(PageState.Missing, cut.Memory.StateOf(new PhysicalAddress(0x11000)));
            Assert.Contains(cut.Origin.Damage, remark => remark.Contains("0x3000 of 0xb000 bytes are missing", StringComparison.Ordinal));
        }

        void AssertLayout(ImageOpenOptions options)
        {
            using var view = ImageReader.Open(file.Path, options);
            Assert.Equal([new PhysicalRange(default, 5 * Page.Size), new PhysicalRange(new PhysicalAddress(1UL << 32), 3 * Page.Size)], view.Memory.Ranges);
            var page = new byte[Page.Size];
            Assert.True(view.Memory.TryRead(new PhysicalAddress((1UL << 32) + Page.Size), page));
            Assert.Equal(bytes[(6 * Page.Size)..(7 * Page.Size)], page);
            Assert.Equal(0, view.Memory.Read(new PhysicalAddress(5 * Page.Size), page));
            Assert.Empty(view.Cpus);
        }
    }

    [Theory]
    [InlineData("", "no memory range")]
    [InlineData("0", "is no memory range")]
    [InlineData("0-zz", "is no memory range")]
    [InlineData("0x1000-0x1000", "empty")]
    [InlineData("0-100", "page boundaries")]
    [InlineData("0-0x2000=x", "file offset")]
    [InlineData("0-0x2000,0x1000-0x3000", "overlap")]
    [InlineData("0-0xfffffffffffff000", "beyond")]
    [InlineData("0x1000+0xffffffffffffffff", "empty")]
    [InlineData("99999999999G-999999999999G", "is no memory range")]
    public void Wrong_ranges_are_told_apart(string text, string reason) =>
        Assert.Contains(reason, Assert.Throws<FormatException>(() => RawLayout.Parse(text)).Message, StringComparison.Ordinal);

    [Fact]
    public void Unknown_and_unfitting_formats_are_refused()
    {
        using var file = new TemporaryFile(new byte[1 << 20], ".raw");
        var unknown = Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path, new ImageOpenOptions { Format = "floppy" }));
        Assert.Contains("known are", unknown.Message, StringComparison.Ordinal);
        Assert.Contains("raw", unknown.Message, StringComparison.Ordinal);
        var unfitting = Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path, new ImageOpenOptions { Format = "elf" }));
        Assert.Contains("is no elf image", unfitting.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancelled_is_cancelled()
    {
        using var file = new TemporaryFile(new byte[1 << 20], ".raw");
        Assert.ThrowsAny<OperationCanceledException>(() => ImageReader.Open(file.Path, cancellation: new CancellationToken(canceled: true)));
    }

    private static void AssertRaw(ReadOnlySpan<byte> bytes, string extension, ImageOpenOptions? options, ulong size)
    {
        using var file = new TemporaryFile(bytes, extension);
        using var view = ImageReader.Open(file.Path, options);
        Assert.Equal("raw image", view.Origin.Format);
        Assert.Equal([new PhysicalRange(default, size)], view.Memory.Ranges);
        Assert.Equal(ConsistencyLevel.Unknown, view.Consistency.Level);
        Assert.True(view.Memory.Map(default, 64).SequenceEqual(bytes[..64]));
    }

    private static void AssertRefused(string path, string reason)
    {
        var refused = Assert.Throws<ImageFormatException>(() => ImageReader.Open(path));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.Contains(path, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }
}
