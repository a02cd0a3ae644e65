using System.Diagnostics;

namespace Forengate.Memory.Tests;

public sealed class ElfCoreTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Both_classes_are_read(bool is64)
    {
        var low = Noise(3 * Page.Size, 1);
        var high = Noise(2 * Page.Size, 2);
        using var view = Open(
            new ElfCoreBuilder(is64) { Machine = is64 ? (ushort)62 : (ushort)3 }
                .Notes(ElfCoreBuilder.PrStatus64(1, 0), ElfCoreBuilder.PrStatus64(4, 0), ElfCoreBuilder.QemuNote(10), ElfCoreBuilder.QemuNote(20, 432))
                .Load(0x10_0000, high).Load(0, low).Build(),
            out _);
        Assert.Equal(is64 ? "ELF core (64-bit)" : "ELF core (32-bit)", view.Origin.Format);
        Assert.Equal([new PhysicalRange(default, 3 * Page.Size), new PhysicalRange(new PhysicalAddress(0x10_0000), 2 * Page.Size)], view.Memory.Ranges);
        AssertBytes(view.Memory, 0, low);
        AssertBytes(view.Memory, 0x10_0000, high);
        Assert.Equal([(0, 10UL, (ulong?)0x5555_0000_0000UL), (3, 20, null)], view.Cpus.Select(cpu => (cpu.Index, cpu.Rax!.Value, cpu.KernelGsBase)));
        Assert.Null(view.Cpus[0].Efer);
    }

    [Fact]
    public void Without_notes_of_QEMU_the_common_ones_serve_and_the_core_is_not_called_consistent()
    {
        using var view = Open(new ElfCoreBuilder().Notes(ElfCoreBuilder.PrStatus64(77, 0x1234), ElfCoreBuilder.PrStatus64(77, 0x5678)).Load(0, Noise(Page.Size, 1)).Build(), out _);
        Assert.Equal([(0, 0x1234UL), (1, 0x5678UL)], view.Cpus.Select(cpu => (cpu.Index, cpu.Rip!.Value)));
        Assert.Null(view.Cpus[0].Cr3);
        Assert.Equal(ConsistencyLevel.Unknown, view.Consistency.Level);
        Assert.Null(view.Origin.Producer);
    }

    [Fact]
    public void More_segments_than_16_bits_count_are_read()
    {
        var builder = new ElfCoreBuilder { ManyHeaders = true };
        builder.Load(0, Noise(Page.Size, 1));
        for (ulong i = 1; i <= 70_000; i++)
            builder.LoadAt(i * 2 * Page.Size, 0, 0, Page.Size);
        builder.Load(0x8000_0000, Noise(Page.Size, 2));
        using var view = Open(builder.Build(), out _);
        Assert.Equal(70_002, view.Memory.Ranges.Count);
        Assert.Equal(PageState.Excluded, view.Memory.StateOf(new PhysicalAddress(2 * Page.Size)));
        Assert.Equal(PageState.Missing, view.Memory.StateOf(new PhysicalAddress(Page.Size)));
        AssertBytes(view.Memory, 0x8000_0000, Noise(Page.Size, 2));
    }

    [Fact]
    public void The_same_memory_named_several_times_is_one()
    {
        var data = Noise(16 * Page.Size, 3);
        var builder = new ElfCoreBuilder().Load(0, data);
        var at = 64UL + (56 * 7);
        builder.LoadAt(4 * Page.Size, at + (4 * Page.Size), Page.Size, Page.Size)
            .LoadAt(0, at, 16 * Page.Size, 16 * Page.Size)
            .LoadAt(10 * Page.Size, at, Page.Size, Page.Size)
            .LoadAt(15 * Page.Size, at + (15 * Page.Size), Page.Size, 5 * Page.Size)
            .LoadAt(17 * Page.Size, at, Page.Size, Page.Size)
            .LoadAt(0, at, Page.Size, Page.Size);
        using var view = Open(builder.Build(), out _);
        Assert.Equal([new PhysicalRange(default, 20 * Page.Size)], view.Memory.Ranges);
        AssertBytes(view.Memory, 0, data);
        Assert.Equal(PageState.Excluded, view.Memory.StateOf(new PhysicalAddress(16 * Page.Size)));
        AssertBytes(view.Memory, 17 * Page.Size, data.AsSpan(0, Page.Size));
        Assert.Equal(PageState.Excluded, view.Memory.StateOf(new PhysicalAddress(18 * Page.Size)));
    }

    [Fact]
    public void Segments_off_page_boundaries_give_their_whole_pages()
    {
        var data = Noise(4 * Page.Size, 4);
        using var view = Open(new ElfCoreBuilder().Load(0x1400, data).Build(), out _);
        Assert.Equal([new PhysicalRange(new PhysicalAddress(0x2000), 3 * Page.Size)], view.Memory.Ranges);
        AssertBytes(view.Memory, 0x2000, data.AsSpan(0xC00, 0x3000));
    }

    [Fact]
    public void Firmware_and_device_memory_of_QEMU_is_left_out_and_RAM_is_not()
    {
        using var view = Open(
            new ElfCoreBuilder().Notes(ElfCoreBuilder.QemuNote(1))
                .Load(0, Noise(Page.Size, 1)).Load(0x8000_0000, Noise(Page.Size, 2)).Load(0xFD00_0000, Noise(2 * Page.Size, 3))
                .Load(0xFFFF_F000, Noise(Page.Size, 4)).Load(0x1_0000_0000, Noise(Page.Size, 5)).Load(0x7FFF_F000, Noise(Page.Size, 6)).Build(),
            out _);
        Assert.Equal(
            [new PhysicalRange(default, Page.Size), new PhysicalRange(new PhysicalAddress(0x7FFF_F000), 2 * Page.Size), new PhysicalRange(new PhysicalAddress(0x1_0000_0000), Page.Size)],
            view.Memory.Ranges);
        Assert.Equal(2, view.Origin.Remarks.Count(remark => remark.Contains("firmware or device memory", StringComparison.Ordinal)));
    }

    [Fact]
    public void Odd_cores_are_refused_with_a_reason()
    {
        AssertRefused(new ElfCoreBuilder { Machine = 183 }.Load(0, Noise(Page.Size, 1)).Build(), "another processor");
        AssertRefused(new ElfCoreBuilder { Type = 2 }.Load(0, Noise(Page.Size, 1)).Build(), "ELF program");
        AssertRefused(new ElfCoreBuilder().Notes(ElfCoreBuilder.QemuNote(1)).Build(), "without any memory");
        AssertRefused(new ElfCoreBuilder().Load(0, Noise(Page.Size, 1)).Load(0, Noise(Page.Size, 1)).Build(), "core of a process");
        AssertRefused(new ElfCoreBuilder().Load(0x1400, Noise(0x100, 1)).Build(), "one whole page");
        AssertRefused(new ElfCoreBuilder().Load(0, Noise(Page.Size, 1)).Build()[..40], "cut off within its header");
        var bigEndian = new ElfCoreBuilder().Load(0, Noise(Page.Size, 1)).Build();
        bigEndian[5] = 2;
        (bigEndian[16], bigEndian[17]) = (bigEndian[17], bigEndian[16]);
        AssertRefused(bigEndian, "big-endian");
    }

    [Fact]
    public void Every_prefix_of_a_core_is_read_as_far_as_it_goes_or_refused()
    {
        var whole = new ElfCoreBuilder().Notes(ElfCoreBuilder.QemuNote(1), ElfCoreBuilder.QemuNote(2)).Load(0x1000, Noise(4 * Page.Size, 1)).Build();
        for (var length = 1; length < whole.Length; length += length < 1200 ? 1 : 511)
        {
            using var file = new TemporaryFile(whole.AsSpan(0, length));
            try
            {
                using var view = ImageReader.Open(file.Path, new ImageOpenOptions { Format = length < 19 ? null : "elf" });
                Assert.NotEmpty(view.Origin.Damage);
                Assert.InRange(view.Memory.Read(new PhysicalAddress(0x1000), new byte[4 * Page.Size]), 0, length);
            }
            catch (ImageFormatException e)
            {
                Assert.DoesNotContain('\n', e.Message);
                Assert.Contains(file.Path, e.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Mutated_cores_never_crash_hang_or_take_much_memory()
    {
        var deadline = Stopwatch.StartNew();
        var seeds = new[]
        {
            new ElfCoreBuilder().Notes(ElfCoreBuilder.QemuNote(1), ElfCoreBuilder.PrStatus64(1, 2)).Load(0, Noise(4 * Page.Size, 1)).Load(0x10_0000, Noise(2 * Page.Size, 2)).Build(),
            new ElfCoreBuilder(is64: false) { Machine = 3 }.Notes(ElfCoreBuilder.QemuNote(1)).Load(0, Noise(4 * Page.Size, 1)).Load(0xFFFF_F000, Noise(Page.Size, 2)).Build(),
            new ElfCoreBuilder { ManyHeaders = true }.Load(0, Noise(Page.Size, 1)).LoadAt(0x5000, 64, 0x1000, 0x9000).Load(0x1_0000_0000, Noise(Page.Size, 1)).Build(),
        };
        var opened = 0;
        for (var i = 0; i < 1500 && deadline.Elapsed < TimeSpan.FromSeconds(20); i++)
        {
            var random = new Random(i);
            var bytes = seeds[i % seeds.Length].ToArray();
            for (var changes = 1 + random.Next(6); changes > 0; changes--)
            {
                var at = random.Next(4) == 0 ? random.Next(bytes.Length) : random.Next(7, 700);
                switch (random.Next(4))
                {
                    case 0: bytes[at] = (byte)random.Next(256); break;
                    case 1: bytes.AsSpan(at, Math.Min(8, bytes.Length - at)).Fill(0xFF); break;
                    case 2: bytes.AsSpan(at, Math.Min(8, bytes.Length - at)).Clear(); break;
                    default: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                }
            }
            using var file = new TemporaryFile(bytes);
            try
            {
                using var view = ImageReader.Open(file.Path);
                opened++;
                AssertSane(view.Memory);
                MemoryPass.Find(view.Memory, new PatternSet([new BytePattern("Proc"u8)]), 100, out _);
            }
            catch (ImageFormatException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }
        Assert.True(opened > 0);
    }

    private static void AssertSane(PhysicalMemory memory)
    {
        var previous = default(PhysicalAddress);
        var buffer = new byte[Page.Size];
        foreach (var range in memory.Ranges.Take(1000))
        {
            Assert.True(range.Length > 0 && ((range.Start.Value | range.Length) & Page.OffsetMask) == 0);
            Assert.True(previous.Value == 0 || range.Start > previous);
            previous = range.End;
            foreach (var address in new[] { range.Start, new PhysicalAddress(range.End.Value - Page.Size) })
            {
                var run = memory.RunAt(address, Page.Size);
                Assert.Equal(memory.StateOf(address), run.State);
                Assert.Equal(run.IsReadable ? Page.Size : 0, memory.Read(address, buffer));
                Assert.Equal(run.State == PageState.Present, !memory.Map(address, 1 << 20).IsEmpty);
            }
        }
    }

    private static View Open(byte[] core, out TemporaryFile file)
    {
        // A mapped file may be deleted at once.
        using (file = new TemporaryFile(core))
            return ImageReader.Open(file.Path);
    }

    private static void AssertRefused(byte[] core, string reason)
    {
        using var file = new TemporaryFile(core);
        Assert.Contains(reason, Assert.Throws<ImageFormatException>(() => ImageReader.Open(file.Path)).Message, StringComparison.Ordinal);
    }

    private static void AssertBytes(PhysicalMemory memory, ulong address, ReadOnlySpan<byte> expected)
    {
        var read = new byte[expected.Length];
        Assert.Equal(read.Length, memory.Read(new PhysicalAddress(address), read));
        Assert.True(expected.SequenceEqual(read));
    }

    private static byte[] Noise(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
