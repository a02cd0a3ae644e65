namespace Forengate.Memory;

/// <summary>
/// A migration stream that is packed as a whole. lzop's blocks are unpacked when they are asked for; the others are unpacked once, and the pages kept in a temporary file without a
/// name.
/// </summary>
internal static class PackedStream
{
    /// <param name="file">The view owns it; when this throws, the caller still does.</param>
    /// <param name="start">Where the packed stream begins.</param>
    /// <param name="packing">By its own beginning.</param>
    /// <param name="source">What its container knows of it; the packing and the file's size are set here.</param>
    /// <param name="options">Limits, progress, where to spool.</param>
    /// <param name="cancellation">Ends the opening.</param>
    public static View Open(MappedFile file, long start, Packing packing, MigrationSource source, ImageOpenOptions options, CancellationToken cancellation)
    {
        source = source with { Packing = PackingMagic.NameOf(packing), FileBytes = (ulong)file.Length };
        return packing == Packing.Lzop ? OpenBlocks(file, start, source, options, cancellation) : OpenSpooled(file, start, packing, source, options, cancellation);
    }

    /// <summary>What the user is told of a spool.</summary>
    public static string Remark(Packing packing, Spool spool) =>
        $"{PackingMagic.NameOf(packing)} can't be read at random: {SizeOf(spool.Written)} were unpacked to a temporary file in '{spool.Folder}', which goes when the image is closed";

    private static string SizeOf(long bytes) => bytes >> 20 is var mebibytes and not 0 ? $"{mebibytes} MiB" : $"{(bytes + 1023) >> 10} KiB";

    private static View OpenBlocks(MappedFile file, long start, MigrationSource source, ImageOpenOptions options, CancellationToken cancellation)
    {
        var budget = new IndexBudget(options.Limits.IndexBytes);
        var blocks = new List<LzopBlock>();
        using var stream = new LzopUnpacker(file, start, block =>
        {
            budget.Take(System.Runtime.CompilerServices.Unsafe.SizeOf<LzopBlock>());
            blocks.Add(block);
        })
        {
            ThrowsAtDamage = true,
        };
        // Placing the blocks reads some of them, through the same list: it has been filled by then.
        return MigrationImage.Open(
            new ForwardInput(stream), new LzopBytes(file, blocks, options.Limits.CacheBytes), source, Watching(options, "indexing", stream, file), file.Length, cancellation);
    }

    private static View OpenSpooled(MappedFile file, long start, Packing packing, MigrationSource source, ImageOpenOptions options, CancellationToken cancellation)
    {
        using var stream = UnpackingStream.Open(packing, file, start);
        stream.ThrowsAtDamage = true;
        var spool = new Spool(file.Path, options, file.Length - start);
        var bytes = new SpooledBytes(spool, file.Path);
        try
        {
            var input = new ForwardInput(stream, (_, page) => spool.Append(page));
            var view = MigrationImage.Open(input, bytes, source, Watching(options, "unpacking", stream, file), file.Length, cancellation);
            // Whatever fails at the disk fails now, and not at somebody's read.
            bytes.Seal();
            var origin = view.Origin with { Remarks = [.. view.Origin.Remarks, Remark(packing, spool)] };
            return new View(view.Memory, view.Cpus, view.Consistency, origin, file);
        }
        catch
        {
            bytes.Dispose();
            throw;
        }
    }

    private static ImageOpenOptions Watching(ImageOpenOptions options, string what, UnpackingStream stream, MappedFile file) =>
        options.Progress is { } progress ? options with { Progress = new PackedProgress(progress, what, stream, file.Length) } : options;

    /// <summary>Tells how far the packed file was read: how long the unpacked stream is, nobody knows.</summary>
    private sealed class PackedProgress(IProgress<ImageOpenProgress> to, string what, UnpackingStream stream, long total) : IProgress<ImageOpenProgress>
    {
        public void Report(ImageOpenProgress value) => to.Report(new ImageOpenProgress(what, stream.PackedPosition, total));
    }
}
