namespace Forengate.Memory;

/// <summary>A migration stream that a running QEMU is sending (a background snapshot), read into memory as it comes.</summary>
public static class SnapshotImage
{
    /// <summary>A guest of one TiB has this many bytes of index even where every page lies by itself.</summary>
    private const long IndexBytesPerPage = 2 * sizeof(ulong);

    /// <summary>Reads the stream to its end, or as far as it can be understood; what is left of it then is the caller's to read.</summary>
    /// <param name="stream">Not owned.</param>
    /// <param name="store">Keeps the pages; the view owns it, and when this throws, the caller still does.</param>
    /// <param name="parts">Where RAM lies.</param>
    /// <param name="target">What the user pointed at.</param>
    /// <param name="progress">Told how far the stream was read.</param>
    /// <param name="cancellation">Ends the reading.</param>
    /// <exception cref="ImageFormatException">No migration stream, or nothing in it can be read.</exception>
    public static View Read(
        Stream stream, PageStore store, IReadOnlyList<RamPart> parts, string target, IProgress<ImageOpenProgress>? progress, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(parts);
        ArgumentNullException.ThrowIfNull(store);
        var size = parts.Aggregate(0UL, (sum, part) => sum + part.Range.Length);
        var limits = ImageLimits.Default;
        limits = limits with { IndexBytes = Math.Max(limits.IndexBytes, (long)(size >> Page.Shift) * IndexBytesPerPage) };
        var options = new ImageOpenOptions { Limits = limits, Progress = progress };
        var source = new MigrationSource { Target = target, Format = "background snapshot", Parts = parts };
        return MigrationImage.Open(new ForwardInput(stream, (_, bytes) => store.Keep(bytes)), new StoredBytes(store), source, options, (long)size, cancellation);
    }

    private sealed class StoredBytes(PageStore store) : MigrationBytes
    {
        public override int Read(long offset, Span<byte> destination) => store.Read(offset, destination);

        public override ReadOnlySpan<byte> Map(long offset, int length) => store.Map(offset, length);

        public override void Dispose() => store.Dispose();
    }
}
