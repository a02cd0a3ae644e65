using System.Buffers.Binary;

namespace Forengate.Memory.Tests;

/// <summary>Every type of crash dump that has pages, 32- and 64-bit: the right page at the right address, and what is left out told for what it is.</summary>
public sealed class DumpTypeTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    /// <summary>Set bits at the edges of words, in runs, alone, and the last one of all.</summary>
    private static readonly ulong[] Frames = [0, 1, 2, 7, 8, 62, 63, 64, 65, 66, 127, 128, 192, 193, 255, 256, 257, 300];

    public void Dispose() => File.Delete(_path);

    public static TheoryData<string, bool, uint, uint, PageState> Bitmaps => new()
    {
        { "full bitmap", true, 5, 0, PageState.Missing },
        { "active memory", true, 5, 0x40, PageState.Excluded },
        { "kernel bitmap", true, 6, 0, PageState.Excluded },
        { "kernel summary", true, 2, 0, PageState.Excluded },
        { "full bitmap", false, 5, 0, PageState.Missing },
        { "kernel bitmap", false, 6, 0, PageState.Excluded },
        { "kernel summary", false, 2, 0, PageState.Excluded },
    };

    [Theory, MemberData(nameof(Bitmaps))]
    public void SetBitsArePagesInOrder(string kind, bool is64, uint type, uint attributes, PageState leftOut)
    {
        foreach (var signature in new[] { "SDMP", "FDMP" })
        {
            var header = DumpFile.Header(is64, type, attributes, (1, 99), (120, 400));
            Write(DumpFile.Bitmap(header, System.Text.Encoding.ASCII.GetBytes(signature), 301, Frames, type == 2));
            using var view = ImageReader.Open(_path);
            Assert.Contains($"{(is64 ? 64 : 32)}-bit {kind}", view.Origin.Format, StringComparison.Ordinal);
            Assert.Equal(is64 ? GuestArchitecture.X64 : GuestArchitecture.X86, view.Origin.Architecture);
            Assert.Empty(view.Origin.Damage);
            Assert.True(view.Origin.KeepsRegistersInMemory);
            for (var frame = 0UL; frame < 600; frame++)
            {
                var isMemory = frame is >= 1 and < 100 or >= 120 and < 520;
                var expected = Frames.Contains(frame) ? PageState.Present : isMemory ? leftOut : PageState.Missing;
                Assert.True(expected == view.Memory.StateOf(PhysicalAddress.FromFrame(frame)), $"frame {frame}: {view.Memory.StateOf(PhysicalAddress.FromFrame(frame))}, not {expected}");
                if (expected == PageState.Present)
                    IsPage(view, frame);
            }
            // Pages that follow each other are one span, and it ends where the next is not there.
            Assert.Equal(5 * Page.Size, view.Memory.Map(PhysicalAddress.FromFrame(62), 1 << 20).Length);
            Assert.Equal(0UL, view.Memory.Ranges[0].Start.Value);
        }
    }

    [Fact]
    public void WithoutRunsInTheHeaderOnlyStoredPagesAreMemory()
    {
        Write(DumpFile.Bitmap(DumpFile.Header(true, 6), "SDMP"u8, 512, [3, 4, 511]));
        using var view = ImageReader.Open(_path);
        Assert.Equal([new PhysicalRange(new(0x3000), 0x2000), new PhysicalRange(new(0x1FF000), 0x1000)], view.Memory.Ranges);
        Assert.Empty(view.Origin.Damage);
    }

    [Theory]
    [InlineData(8u, "kernel range")]
    [InlineData(9u, "kernel and user range")]
    [InlineData(10u, "complete range")]
    public void RangesFollowTheirDescriptor(uint type, string kind)
    {
        Write(DumpFile.Ranges(DumpFile.Header(true, type), (1, 3), (0x10, 1), (0x100, 2)));
        using var view = ImageReader.Open(_path);
        Assert.Equal($"Windows crash dump, 64-bit {kind}", view.Origin.Format);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal([new PhysicalRange(new(0x1000), 0x3000), new PhysicalRange(new(0x10000), 0x1000), new PhysicalRange(new(0x100000), 0x2000)], view.Memory.Ranges);
        foreach (var frame in new ulong[] { 1, 2, 3, 0x10, 0x100, 0x101 })
            IsPage(view, frame);
    }

    [Fact]
    public void CompleteDumpOf32BitsIsRead()
    {
        Write(DumpFile.Complete(DumpFile.Header(false, 1, 0, (1, 2), (0x10, 3)), (1, 2), (0x10, 3)));
        using var view = ImageReader.Open(_path);
        Assert.Equal("Windows crash dump, 32-bit complete (PAE)", view.Origin.Format);
        Assert.Equal([new PhysicalRange(new(0x1000), 0x2000), new PhysicalRange(new(0x10000), 0x3000)], view.Memory.Ranges);
        foreach (var frame in new ulong[] { 1, 2, 0x10, 0x11, 0x12 })
            IsPage(view, frame);
    }

    [Fact]
    public void TruncatedBitmapDumpMissesItsLastPages()
    {
        var file = DumpFile.Bitmap(DumpFile.Header(true, 6, 0, (0, 400)), "SDMP"u8, 301, Frames);
        Write(file[..^(0x3000 - 8)]);
        using var view = ImageReader.Open(_path);
        Assert.Contains("the last 0x3 of its 0x12 pages are missing", Assert.Single(view.Origin.Damage), StringComparison.Ordinal);
        IsPage(view, 255);
        Assert.Equal(PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(256)));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(300)));
        // Left out by the dump's kind, whether the file is cut or not.
        Assert.Equal(PageState.Excluded, view.Memory.StateOf(PhysicalAddress.FromFrame(290)));
    }

    [Fact]
    public void CutBitmapIsReadAsFarAsItGoes()
    {
        var file = DumpFile.Bitmap(DumpFile.Header(true, 6, 0, (0, 400)), "SDMP"u8, 301, Frames);
        Write(file[..(DumpFile.Header64 + 0x38 + 10)]);
        using var view = ImageReader.Open(_path);
        Assert.Contains(view.Origin.Damage, line => line.Contains("bitmap of 0x12d bits is cut off after 0x50", StringComparison.Ordinal));
        Assert.Contains(view.Origin.Damage, line => line.Contains("names 0xa pages, its page count says 0x12", StringComparison.Ordinal));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(290)));
        Assert.Equal(PageState.Excluded, view.Memory.StateOf(PhysicalAddress.FromFrame(20)));
    }

    [Fact]
    public void MorePiecesThanTheLimitAreReadAsFarAsItAllows()
    {
        Write(DumpFile.Bitmap(DumpFile.Header(true, 6, 0, (0, 400)), "SDMP"u8, 301, Frames));
        using var view = ImageReader.Open(_path, new ImageOpenOptions { Limits = ImageLimits.Default with { Extents = 4 } });
        Assert.Contains(view.Origin.Damage, line => line.Contains("in more than 4 pieces", StringComparison.Ordinal));
        IsPage(view, 2);
        Assert.Equal(PageState.Missing, view.Memory.StateOf(PhysicalAddress.FromFrame(256)));
    }

    [Fact]
    public void WildCountsAreDamageAndNoMore()
    {
        var file = DumpFile.Bitmap(DumpFile.Header(true, 5), "FDMP"u8, 301, Frames);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(DumpFile.Header64 + 0x30), ulong.MaxValue);
        Write(file);
        using (var view = ImageReader.Open(_path))
        {
            Assert.Contains(view.Origin.Damage, line => line.Contains("bitmap claims 0xffffffffffffffff pages", StringComparison.Ordinal));
            IsPage(view, 300);
        }
        file = DumpFile.Ranges(DumpFile.Header(true, 8), (1, 3), (0x10, 1));
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(DumpFile.Header64 + 0x20), ulong.MaxValue);
        Write(file);
        using (var view = ImageReader.Open(_path))
        {
            Assert.Contains(view.Origin.Damage, line => line.Contains("there is room for 2", StringComparison.Ordinal));
            IsPage(view, 0x10);
        }
    }

    [Theory]
    [InlineData(5u, "neither SDMP nor FDMP")]
    [InlineData(2u, "neither SDMP nor FDMP")]
    [InlineData(10u, "no RDMP")]
    public void HeaderAloneHasNoPages(uint type, string reason)
    {
        Write(DumpFile.Header(true, type));
        using var view = ImageReader.Open(_path);
        Assert.Empty(view.Memory.Ranges);
        Assert.Contains(reason, Assert.Single(view.Origin.Damage), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true, 3u, "without any memory")]
    [InlineData(true, 11u, "type 0xb")]
    [InlineData(true, 0u, "type 0x0")]
    [InlineData(false, 8u, "none that is known for 32-bit")]
    public void UnknownTypesAreDeclined(bool is64, uint type, string reason)
    {
        Write(DumpFile.Header(is64, type));
        Assert.Contains(reason, Assert.Throws<ImageFormatException>(() => ImageReader.Open(_path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EncryptedDumpIsDeclinedAndFillerIsNoEncryption()
    {
        Write(DumpFile.Bitmap(DumpFile.Header(true, 6, 0x100), "SDMP"u8, 301, Frames));
        Assert.Contains("encrypted", Assert.Throws<ImageFormatException>(() => ImageReader.Open(_path)).Message, StringComparison.Ordinal);
        Write(DumpFile.Bitmap(DumpFile.Header(true, 6, CrashDumpHeader64.Filler), "SDMP"u8, 301, Frames));
        using (var view = ImageReader.Open(_path))
            IsPage(view, 300);
        Write(DumpFile.Bitmap(DumpFile.Header(true, 6, 4), "SDMP"u8, 301, Frames));
        using (var view = ImageReader.Open(_path))
            Assert.Contains("larger than its dump file", Assert.Single(view.Origin.Damage), StringComparison.Ordinal);
    }

    private void Write(byte[] file) => File.WriteAllBytes(_path, file);

    private static void IsPage(View view, ulong frame)
    {
        var page = new byte[Page.Size];
        Assert.True(view.Memory.TryRead(PhysicalAddress.FromFrame(frame), page), $"frame {frame} cannot be read");
        Assert.Equal(frame, DumpFile.FrameOf(page));
        Assert.Equal((byte)frame, page[^1]);
        Assert.True(view.Memory.Map(PhysicalAddress.FromFrame(frame), Page.Size).SequenceEqual(page));
    }
}
