namespace Forengate.Memory;

/// <summary>Makes a view of a QEMU migration stream, wherever it lies: a file of its own, a part of a file, something that unpacks one.</summary>
internal static class MigrationImage
{
    /// <summary>QEMU makes room of 128 KiB for its ACPI tables, and more for machines of thousands of CPUs.</summary>
    private const ulong MostTables = 4 << 20;

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
        var stream = options.CacheFolder is { } folder ? ReadOrRecall(folder, file, offset, length, options, cancellation) : Read(file, offset, length, options, cancellation);
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

    private static MigrationStream Read(MappedFile file, long offset, long length, ImageOpenOptions options, CancellationToken cancellation)
    {
        var input = new MappedInput(file, offset, length);
        return Read(input, options, input.End - offset, offset, cancellation);
    }

    private static MigrationStream Read(MigrationInput input, ImageOpenOptions options, long total, long start, CancellationToken cancellation)
    {
        var parser = new MigrationParser(options.Limits, Report, new IndexBudget(options.Limits.IndexBytes));
        parser.Read(input);
        return parser.Stream;

        void Report(long position)
        {
            cancellation.ThrowIfCancellationRequested();
            options.Progress?.Report(new ImageOpenProgress("indexing", position - start, total));
        }
    }

    /// <summary>Takes the index from a folder where it was kept, and reads only what is not RAM; or reads all, and keeps it.</summary>
    private static MigrationStream ReadOrRecall(string folder, MappedFile file, long offset, long length, ImageOpenOptions options, CancellationToken cancellation)
    {
        var identity = KeptIndex.IdentityOf(file, offset, length);
        var budget = new IndexBudget(options.Limits.IndexBytes);
        if (KeptIndex.Load(folder, identity, options.Limits, budget, out var parts) is { } kept)
        {
            var parser = new MigrationParser(options.Limits, _ => cancellation.ThrowIfCancellationRequested(), budget, kept, parts);
            parser.Read(new MappedInput(file, offset, length));
            if (kept.Damage.Count == 0 && kept.Ended)
                return kept;
        }
        var stream = Read(file, offset, length, options, cancellation);
        // What is damaged may still be being written; mapped-ram needs no pass.
        if (stream.Damage.Count == 0 && stream.RamEnded && stream.Blocks.TrueForAll(block => block.MappedRam is null) && KeptIndex.Save(folder, identity, stream) is { } trouble)
            stream.Remarks.Add($"the index could not be kept in '{folder}': {trouble}");
        return stream;
    }

    private static View MakeView(MigrationStream stream, MigrationBytes bytes, MigrationSource source, ImageOpenOptions options)
    {
        if (!stream.HasRam)
            throw new ImageFormatException($"'{source.Target}' ({source.Format}) holds no RAM that can be read: {stream.Damage.FirstOrDefault() ?? "the stream ends before it"}");
        var cpus = MigrationCpus.Read(stream, stream.Remarks);
        var placement = Place(stream, bytes, cpus, source, options);
        var memory = new MigrationMemory(bytes, placement.Segments, stream.Deltas, options.Limits.CacheBytes);
        MissingPages.Report(stream, memory);
        return new View(
            memory, cpus,
            ConsistencyOf(stream, cpus.Count != 0),
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
                Remarks = [.. source.Remarks, .. stream.Remarks, .. placement.Remarks],
                Damage = [.. source.Damage, .. stream.Damage],
            });
    }

    private static Consistency ConsistencyOf(MigrationStream stream, bool hasCpus) => (stream.RamEnded, hasCpus) switch
    {
        (true, true) => new Consistency(ConsistencyLevel.Instant, "a migration stream ends with the guest as it was when it was stopped"),
        (true, false) => new Consistency(ConsistencyLevel.MemoryOnly, "a migration stream ends with the guest's memory as it was when it was stopped"),
        _ => new Consistency(ConsistencyLevel.Smeared, "the stream's RAM has no end: if the guest ran while it was written, later versions of pages are missing"),
    };

    /// <summary>Places RAM: by the user's word, by QEMU's own tables, by the machine type's rule; where only the rule is left, by the split that the CPUs' page tables fit.</summary>
    private static RamPlacement Place(MigrationStream stream, MigrationBytes bytes, IReadOnlyList<CpuState> cpus, MigrationSource source, ImageOpenOptions options)
    {
        if (source.Parts.Count != 0)
        {
            var known = new RamPlacement(stream, acpi: null);
            known.Place(source.Parts, "QEMU's own memory map");
            return known;
        }
        var placement = new RamPlacement(stream, ReadAcpi(stream, bytes));
        if (options.RawLowSize is { } asked)
        {
            placement.Place(Math.Min(asked, placement.Main.Size), "the user's word for RAM below 4 GiB", source.Places);
            return placement;
        }
        var (low, how) = placement.AcpiLow is { } acpi
            ? (acpi, $"RAM below 4 GiB ends at 0x{acpi:x}, as QEMU's own ACPI tables have it")
            : (placement.RuleLow, $"RAM below 4 GiB ends at 0x{placement.RuleLow:x}, {placement.Rule}");
        placement.Place(low, how, source.Places);
        var best = Judge();
        if (best.Bad == 0 || placement.AcpiLow is not null)
        {
            if (best.Bad > best.Good)
                placement.Remarks.Add("the CPUs' page tables do not fit RAM as it was placed: was the guest within its firmware, or is the stream damaged?");
            return placement;
        }
        // Nothing but the rule says it, and the guest's own tables speak against it: max-ram-below-4g was given.
        var rule = low;
        foreach (var other in RamSplit.Others(placement.Main.Size))
        {
            placement.Place(other, how, source.Places);
            if (Judge() is var judged && judged.Bad < best.Bad && judged.Good > best.Good)
                (best, low) = (judged, other);
        }
        placement.Place(low, low == rule ? how : $"RAM below 4 GiB ends at 0x{low:x}: the split that the CPUs' page tables fit ({best.Good} of {best.Good + best.Bad} entries)", source.Places);
        if (low != rule)
            placement.Remarks.Add($"{placement.Rule}, RAM below 4 GiB would end at 0x{rule:x}, but the CPUs' page tables fit 0x{low:x} (--low-size says otherwise)");
        else
            placement.Remarks.Add($"the CPUs' page tables do not fit RAM as it was placed: if the machine was given max-ram-below-4g, say --low-size");
        return placement;

        // Not disposed: that would close the file.
        (int Good, int Bad) Judge() => PlacementCheck.Judge(new MigrationMemory(bytes, placement.Segments, stream.Deltas, Page.Size), cpus);
    }

    private static AcpiTables? ReadAcpi(MigrationStream stream, MigrationBytes bytes)
    {
        if (stream.Blocks.Find(block => block.Name == BlockNames.AcpiTables) is not { } block || block.Length is 0 or > MostTables)
            return null;
        var tables = new byte[block.Length];
        var memory = new MigrationMemory(bytes, [new MigrationMemory.Segment(new PhysicalRange(default, block.Length), block, 0)], stream.Deltas, Page.Size);
        return memory.TryRead(default, tables) ? AcpiTables.Parse(tables) : null;
    }
}
