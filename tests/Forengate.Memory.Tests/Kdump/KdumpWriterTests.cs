namespace Forengate.Memory.Tests.Kdump;

/// <summary>What we write, read back by us: round trips. KdumpJudgeTests has others read it.</summary>
public sealed class KdumpWriterTests
{
    public static TheoryData<string, bool> Kinds => [.. from name in new[] { "kdump-zlib", "kdump-zstd" } from flattened in new[] { false, true } select (name, flattened)];

    [Theory, MemberData(nameof(Kinds))]
    public void Every_page_register_and_state_comes_back(string name, bool flattened)
    {
        using var source = KdumpSource.View();
        using var file = new TemporaryFile(".kdump");
        var result = Write(source, name, file.Path, flattened, threads: 3);
        using var view = ImageReader.Open(file.Path);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(source.Memory.Ranges, view.Memory.Ranges);
        Assert.Equal([0, 1], view.Cpus.Select(cpu => cpu.Index));
        Assert.Empty(source.Cpus.Zip(view.Cpus).SelectMany(pair => CpuSamples.Differences(pair.First, pair.Second)));
        Assert.Equal((ConsistencyLevel.Smeared, "Forengate", source.Origin.TakenAt), (view.Consistency.Level, view.Origin.Producer, view.Origin.TakenAt));
        Assert.Equal(flattened, view.Origin.Format.Contains("flattened", StringComparison.Ordinal));
        var (expected, actual) = (new byte[Page.Size], new byte[Page.Size]);
        foreach (var range in source.Memory.Ranges)
        {
            for (var at = range.Start; at < range.End; at += Page.Size)
            {
                var length = source.Memory.Read(at, expected);
                Assert.Equal(length, view.Memory.Read(at, actual));
                Assert.Equal(expected, actual);
                Assert.Equal(
                    length == 0 ? source.Memory.StateOf(at) : ZeroPages.IsZero(expected) ? PageState.Zero : PageState.Present,
                    view.Memory.StateOf(at));
                expected.AsSpan().Clear();
                actual.AsSpan().Clear();
            }
        }
        Assert.Equal(new FileInfo(file.Path).Length, (long)result.Bytes);
        Assert.Equal(KdumpSource.Readable, result.Pages);
        Assert.Equal(KdumpSource.Zeros, result.ZeroPages);
        Assert.Equal(KdumpSource.Missing, result.Missing);
        Assert.Contains(result.Lost, line => line.Contains("excluded in the dump", StringComparison.Ordinal) && line.Contains("0x65000-0x68000", StringComparison.Ordinal));
        Assert.Contains(result.Lost, line => line.Contains("LSTAR", StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public void Threads_do_not_change_the_file()
    {
        using var source = KdumpSource.View();
        using var one = new TemporaryFile(".kdump");
        using var many = new TemporaryFile(".kdump");
        Write(source, "kdump-zlib", one.Path, flattened: false, threads: 1);
        Write(source, "kdump-zlib", many.Path, flattened: false, threads: 7);
        Assert.Equal(File.ReadAllBytes(one.Path), File.ReadAllBytes(many.Path));
    }

    [Fact]
    public void A_page_that_is_lost_on_the_way_is_left_out()
    {
        using var source = KdumpSource.View(lost: 3);
        using var file = new TemporaryFile(".kdump");
        var result = Write(source, "kdump-zlib", file.Path, flattened: false, threads: 2);
        Assert.Contains(new PhysicalRange(PhysicalAddress.FromFrame(3), Page.Size), result.Missing);
        using var view = ImageReader.Open(file.Path);
        Assert.Empty(view.Origin.Damage);
        Assert.Equal(PageState.Excluded, view.Memory.StateOf(PhysicalAddress.FromFrame(3)));
        foreach (var frame in new ulong[] { 2, 4, KdumpSource.High })
        {
            var (expected, actual) = (new byte[Page.Size], new byte[Page.Size]);
            Assert.Equal(Page.Size, source.Memory.Read(PhysicalAddress.FromFrame(frame), expected));
            Assert.Equal(Page.Size, view.Memory.Read(PhysicalAddress.FromFrame(frame), actual));
            Assert.Equal(expected, actual);
        }
    }

    [Fact]
    public void Cancelled_work_and_a_full_disk_end_at_once()
    {
        using var source = KdumpSource.View();
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        var writer = ImageWriters.All.Single(writer => writer.Name == "kdump-zlib");
        Assert.Throws<OperationCanceledException>(() => writer.Write(source, new MemoryStream(), ImageWriteOptions.Default, null, cancelled.Token));
        var full = new MemoryStream(new byte[40_000]);
        Assert.ThrowsAny<Exception>(() => writer.Write(source, full, ImageWriteOptions.Default, null, CancellationToken.None));
    }

    [Fact]
    public void Progress_ends_at_all_of_memory()
    {
        using var source = KdumpSource.View();
        var seen = new List<ImageWriteProgress>();
        using var file = new TemporaryFile(".kdump");
        using (var output = File.Create(file.Path))
            ImageWriters.All.Single(writer => writer.Name == "kdump-zstd").Write(source, output, ImageWriteOptions.Default, new Immediate(seen), CancellationToken.None);
        Assert.Equal(new ImageWriteProgress(source.Memory.Size, source.Memory.Size), seen[^1]);
        Assert.Equal(seen.OrderBy(one => one.Done), seen);
    }

    internal static ImageWriteResult Write(View source, string name, string path, bool flattened, int threads = 0)
    {
        using var file = File.Create(path);
        using Stream output = flattened ? new Pipe(file) : file;
        return ImageWriters.All.Single(writer => writer.Name == name).Write(source, output, new ImageWriteOptions { Threads = threads }, null, CancellationToken.None);
    }

    private sealed class Immediate(List<ImageWriteProgress> seen) : IProgress<ImageWriteProgress>
    {
        public void Report(ImageWriteProgress value) => seen.Add(value);
    }

    /// <summary>A stream that only goes forward.</summary>
    private sealed class Pipe(Stream into) : Stream
    {
        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
        public override void Flush() => into.Flush();
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => into.Write(buffer, offset, count);
    }
}
