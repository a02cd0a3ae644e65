namespace Forengate.Memory.Tests.Migration;

/// <summary>Streams made by hand: shapes that the installed QEMU does not write, and broken ones.</summary>
public sealed class MigrationFileTests
{
    private const ulong Ram = 4 << 20;

    [Fact]
    public void The_last_version_of_a_page_counts_and_changes_lie_over_it()
    {
        var (first, second) = (Noise(1), Noise(2));
        var bytes = new MigrationBuilder().Header().RamStart(("pc.ram", Ram))
            .RamPart().Page("pc.ram", 0, first).Page(null, 0x1000, first).Filled(null, 0x2000, 0).Filled(null, 0x3000, 0xCC).EndOfRam()
            .RamPart().Page("pc.ram", 0x1000, second).Delta(null, 0, [2, 2, 0xAA, 0xBB]).Delta(null, 0x2000, [0, 1, 0x11, 4, 1, 0x22]).EndOfRam()
            .RamPart(last: true).Delta("pc.ram", 0, [0x83, 1, 1, 0xDD]).EndOfRam().End().ToArray();
        using var file = new TemporaryFile(bytes, ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal("xbzrle", view.Origin.Packing);
        first[2] = 0xAA;
        first[3] = 0xBB;
        first[0x83] = 0xDD;
        Assert.Equal(first, Read(view, 0));
        Assert.Equal(second, Read(view, 0x1000));
        var third = new byte[4096];
        (third[0], third[5]) = (0x11, 0x22);
        Assert.Equal(third, Read(view, 0x2000));
        Assert.All(Read(view, 0x3000), value => Assert.Equal(0xCC, value));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(0x4000)));
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("0x3fc000", StringComparison.Ordinal));
        Assert.Equal(4096, view.Memory.Map(new PhysicalAddress(0x1000), 1 << 20).Length);
    }

    [Fact]
    public void Streams_without_configuration_footers_and_description_are_read()
    {
        var page = Noise(3);
        var bytes = new MigrationBuilder().Header(machine: null).SectionStart(2, "ram", 4).U64(Ram | 4).Name("pc.ram").U64(Ram).EndOfRam(footer: false)
            .RamPart().Page("pc.ram", 0x5000, page).EndOfRam(footer: false).RamPart(last: true).EndOfRam(footer: false).End().ToArray();
        using var file = new TemporaryFile(bytes, ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(page, Read(view, 0x5000));
        Assert.Empty(view.Cpus);
        Assert.Equal(ConsistencyLevel.MemoryOnly, view.Consistency.Level);
    }

    [Fact]
    public void Sections_of_other_devices_between_RAM_are_gone_past()
    {
        var page = Noise(4);
        var bytes = new MigrationBuilder().Header().SectionStart(1, "dirty-bitmap", 1).Bytes(Noise(5)).Footer(1).RamStart(("pc.ram", Ram))
            .U8(2).U32(1).Bytes(Noise(6)).Footer(1).U8(8).U16(2).U16(4).U32(77)
            .RamPart().Page("pc.ram", 0x6000, page).EndOfRam().RamPart(last: true).EndOfRam().Full(9, "timer", Noise(7)).End().ToArray();
        using var file = new TemporaryFile(bytes, ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(page, Read(view, 0x6000));
    }

    [Fact]
    public void Shared_memory_that_was_left_out_is_said_to_be()
    {
        var bytes = new MigrationBuilder().Header("pc-q35-9.9", "x-ignore-shared").SectionStart(2, "ram", 4).U64((2 * Ram) | 4)
            .Name("pc.ram").U64(Ram).U64(0).Name("mem0").U64(Ram).U64(0x20_0000).U64(0x80_0000).EndOfRam().RamPart(last: true).EndOfRam().End().ToArray();
        using var file = new TemporaryFile(bytes, ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.Equal(PageState.Excluded, view.Memory.StateOf(default));
        Assert.Contains(view.Origin.Remarks, remark => remark.Contains("shared memory", StringComparison.Ordinal));
        // The host's page size, then the offset in the region of memory devices, which begins behind RAM at 4 GiB.
        Assert.Equal([new PhysicalRange(new PhysicalAddress(0x1_0080_0000), Ram)], view.Origin.Blocks[1].Ranges);
    }

    [Theory]
    [InlineData(0x4000UL, 0x0F00UL)]
    [InlineData(0x40_0000UL, 0x08UL)]
    public void A_broken_record_ends_the_reading_there(ulong offset, ulong flags)
    {
        var page = Noise(8);
        var bytes = new MigrationBuilder().Header().RamStart(("pc.ram", Ram)).RamPart().Page("pc.ram", 0x7000, page).Record(null, offset, flags).Bytes(page).EndOfRam().End().ToArray();
        using var file = new TemporaryFile(bytes, ".qevm");
        using var view = ImageReader.Open(file.Path);
        Assert.Equal(page, Read(view, 0x7000));
        Assert.NotEmpty(view.Origin.Damage);
        Assert.Equal(ConsistencyLevel.Smeared, view.Consistency.Level);
    }

    [Fact]
    public void A_block_that_only_claims_to_be_large_costs_nothing()
    {
        const ulong Large = 1UL << 45;
        var bytes = new MigrationBuilder().Header().RamStart(("pc.ram", Large)).RamPart().Page("pc.ram", Large - 0x1000, Noise(9)).EndOfRam().RamPart(last: true).EndOfRam().End().ToArray();
        using var file = new TemporaryFile(bytes, ".qevm");
        Testing.Hostile.Bounded.Run(token =>
        {
            using var view = ImageReader.Open(file.Path, cancellation: token);
            Assert.Equal(Large, view.Memory.Size);
        });
    }

    [Fact]
    public void An_index_beyond_its_bound_is_refused()
    {
        var builder = new MigrationBuilder().Header().RamStart(("pc.ram", 1UL << 32)).RamPart().Filled("pc.ram", 0, 0);
        for (var page = 1UL; page < 4096; page++)
            builder.Filled(null, page << 20, 0);
        using var file = new TemporaryFile(builder.EndOfRam().RamPart(last: true).EndOfRam().End().ToArray(), ".qevm");
        var options = new ImageOpenOptions { Limits = ImageLimits.Default with { IndexBytes = 100_000 } };
        Assert.Contains("MiB", Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path, options)).Message, StringComparison.Ordinal);
        ImageReader.Open(file.Path).Dispose();
    }

    [Fact]
    public void A_stream_that_can_be_read_only_once_gives_the_same()
    {
        var (page, other) = (Noise(10), Noise(11));
        var bytes = new MigrationBuilder().Header().RamStart(("pc.ram", Ram)).RamPart().Page("pc.ram", 0, page).Page(null, 0x3000, other).Delta(null, 0, [1, 1, 9]).EndOfRam()
            .RamPart(last: true).EndOfRam().Full(9, "timer", Noise(12)).End("{\"devices\":[{\"name\":\"timer\",\"instance_id\":0,\"version\":1,\"fields\":[{\"name\":\"x\",\"size\":4096}]}]}").ToArray();
        using var spool = new MemoryStream();
        var input = new ForwardInput(new MemoryStream(bytes), (_, kept) =>
        {
            var at = spool.Position;
            spool.Write(kept);
            return at;
        });
        using var view = MigrationImage.Open(input, new SpoolBytes(spool), new MigrationSource { Target = "x", Format = "y" }, ImageOpenOptions.Default, bytes.Length, default);
        Assert.Empty(view.Origin.Damage);
        page[1] = 9;
        Assert.Equal(page, Read(view, 0));
        Assert.Equal(other, Read(view, 0x3000));
        Assert.Equal((2 * 4096) + 3, spool.Length);
    }

    [Fact]
    public void A_kept_index_is_used_and_a_spoilt_one_is_not()
    {
        var folder = Directory.CreateTempSubdirectory("forengate-index-");
        try
        {
            var page = Noise(13);
            var builder = new MigrationBuilder().Header().RamStart(("pc.ram", Ram)).RamPart().Page("pc.ram", 0, page).Delta(null, 0, [1, 1, 9]).EndOfRam().RamPart();
            var inside = builder.Position + 60;
            var bytes = builder.Page("pc.ram", 0x3000, Noise(14)).EndOfRam().RamPart(last: true).EndOfRam().End().ToArray();
            page[1] = 9;
            using var file = new TemporaryFile(bytes, ".qevm");
            var options = new ImageOpenOptions { CacheFolder = folder.FullName };
            ImageReader.Open(file.Path, options).Dispose();
            var kept = Assert.Single(folder.GetFiles());
            // What opens without looking at the records again does not see that one was broken meanwhile.
            var time = File.GetLastWriteTimeUtc(file.Path);
            using (var writing = File.OpenWrite(file.Path))
            {
                writing.Position = inside - 60;
                writing.Write([0xFF, 0xFF]);
            }
            // A file below two samples is known by every byte: the identity changes with it.
            File.SetLastWriteTimeUtc(file.Path, time);
            using (var changed = ImageReader.Open(file.Path, options))
                Assert.NotEmpty(changed.Origin.Damage);
            File.WriteAllBytes(file.Path, bytes);
            File.SetLastWriteTimeUtc(file.Path, time);
            var progress = new Reports();
            using (var again = ImageReader.Open(file.Path, options with { Progress = progress }))
            {
                Assert.Equal(page, Read(again, 0));
                Assert.Empty(again.Origin.Damage);
            }
            var good = File.ReadAllBytes(kept.FullName);
            Testing.Hostile.Bounded.Survives(good, 3, 100, spoilt =>
            {
                File.WriteAllBytes(kept.FullName, spoilt);
                using var view = ImageReader.Open(file.Path, options);
                Assert.Equal(page, Read(view, 0));
                Assert.Empty(view.Origin.Damage);
            });
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static byte[] Read(View view, ulong address)
    {
        var bytes = new byte[4096];
        Assert.Equal(bytes.Length, view.Memory.Read(new PhysicalAddress(address), bytes));
        return bytes;
    }

    private static byte[] Noise(int seed)
    {
        var bytes = new byte[4096];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private sealed class Reports : IProgress<ImageOpenProgress>
    {
        public void Report(ImageOpenProgress value)
        {
        }
    }

    private sealed class SpoolBytes(MemoryStream spool) : MigrationBytes
    {
        public override int Read(long offset, Span<byte> destination)
        {
            var there = spool.GetBuffer().AsSpan(0, (int)spool.Length)[(int)offset..];
            var count = Math.Min(there.Length, destination.Length);
            there[..count].CopyTo(destination);
            return count;
        }

        public override void Dispose()
        {
        }
    }
}
