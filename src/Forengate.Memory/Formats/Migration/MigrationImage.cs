namespace Forengate.Memory;

/// <summary>Makes a view of a QEMU migration stream, wherever it lies: a file of its own, a part of a file, something that unpacks one.</summary>
internal static class MigrationImage
{
    /// <summary>Opens a stream that lies plain in a mapped file.</summary>
    /// <param name="file">The view owns it; when this throws, the caller still does.</param>
    /// <param name="offset">Where the stream begins.</param>
    /// <param name="length">Its bytes; cut at the file's end. Zeros behind the stream don't matter.</param>
    /// <param name="source">What its container knows of it.</param>
    /// <param name="options">What the user says, limits, progress, where to keep the index.</param>
    /// <param name="cancellation">Ends the reading.</param>
    /// <exception cref="ImageFormatException">No stream, or nothing in it can be read.</exception>
    public static View Open(MappedFile file, long offset, long length, MigrationSource source, ImageOpenOptions options, CancellationToken cancellation)
    {
        var input = new MappedInput(file, offset, length);
        var stream = Read(input, options, input.End - offset, offset, cancellation);
        MappedRam.Index(file, stream, cancellation);
        return MakeView(stream, new MappedBytes(file), source, options);
    }

    /// <summary>Opens a stream that can be read only once.</summary>
    /// <param name="input">At the stream's first byte.</param>
    /// <param name="bytes">Gives the pages' bytes afterwards, by the offsets that <paramref name="input"/> was given for them; the view owns it; when this throws, the caller still does.</param>
    /// <param name="source">What its container knows of it.</param>
    /// <param name="options">What the user says, limits, progress.</param>
    /// <param name="total">Bytes expected, for progress; 0: unknown.</param>
    /// <param name="cancellation">Ends the reading.</param>
    /// <exception cref="ImageFormatException">No stream, or nothing in it can be read.</exception>
    public static View Open(ForwardInput input, MigrationBytes bytes, MigrationSource source, ImageOpenOptions options, long total, CancellationToken cancellation)
    {
        var stream = Read(input, options, total, 0, cancellation);
        if (input.Failure is { } failure)
            stream.Damage.Add($"unpacking ended early: {failure}");
        return MakeView(stream, bytes, source, options);
    }

    private static MigrationStream Read(MigrationInput input, ImageOpenOptions options, long total, long start, CancellationToken cancellation)
    {
        var parser = new MigrationParser(
            options.Limits,
            position =>
            {
                cancellation.ThrowIfCancellationRequested();
                options.Progress?.Report(new ImageOpenProgress("indexing", position - start, total));
            },
            new IndexBudget(options.Limits.IndexBytes));
        parser.Read(input);
        return parser.Stream;
    }

    private static View MakeView(MigrationStream stream, MigrationBytes bytes, MigrationSource source, ImageOpenOptions options)
    {
        if (!stream.HasRam)
            throw new ImageFormatException($"'{source.Target}' holds no RAM that can be read: {stream.Damage.FirstOrDefault() ?? "the stream ends before it"}");
        var placement = new RamPlacement(stream, source);
        placement.Place(options.RawLowSize);
        var memory = new MigrationMemory(bytes, placement.Segments, stream.Deltas, options.Limits.CacheBytes);
        var cpus = MigrationCpus.Read(stream, stream.Remarks);
        return new View(
            memory, cpus,
            new Consistency(cpus.Count == 0 ? ConsistencyLevel.MemoryOnly : ConsistencyLevel.Instant, "a migration stream holds the guest at the instant it was stopped"),
            new ViewOrigin
            {
                Target = source.Target,
                Format = source.Format,
                Producer = source.Producer ?? "QEMU",
                TakenAt = source.TakenAt,
                Machine = stream.Machine,
                GuestName = source.GuestName,
                DomainXml = source.DomainXml,
                Blocks = placement.Blocks(),
                Packing = source.Packing ?? stream.Packing,
                FileBytes = source.FileBytes,
                Remarks = [.. source.Remarks, .. stream.Remarks],
                Damage = [.. source.Damage, .. stream.Damage],
            });
    }
}
