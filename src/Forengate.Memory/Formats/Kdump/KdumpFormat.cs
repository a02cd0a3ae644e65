namespace Forengate.Memory;

/// <summary>
/// kdump-compressed files: QEMU's <c>dump-guest-memory -z</c> (also <c>-l</c>, <c>-s</c>), <c>virsh dump --memory-only --format kdump-*</c>, makedumpfile; plain and flattened.
/// docs/formats/kdump.md has the layout.
/// </summary>
public sealed class KdumpFormat : IImageFormat
{
    public const string FormatName = "kdump";

    private const int RangesNamed = 8;

    public string Name => FormatName;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => head.StartsWith(KdumpLayout.Signature) || head.StartsWith(FlattenedSegments.Signature);

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        var damage = new List<string>();
        var segments = file.Span(0, FlattenedSegments.Signature.Length).SequenceEqual(FlattenedSegments.Signature)
            ? FlattenedSegments.Read(file, options, damage, cancellation)
            : null;
        var bytes = new KdumpBytes(file, segments);
        if (KdumpHeader.Parse(bytes, out var header) is { } trouble)
            throw new ImageFormatException($"'{file.Path}' {trouble}");
        var index = KdumpIndex.Read(bytes, header, options, damage, cancellation);
        KdumpPage.Require(index.Codecs);

        var remarks = new List<string>();
        var notes = ReadNotes(bytes, header, options.Limits, damage);
        var ranges = RamOf(index, notes.Maker, options.Limits, file.Path, remarks);
        if (ranges.Length == 0)
            throw new ImageFormatException($"'{file.Path}' is a kdump without any memory in it{(damage.Count == 0 ? "" : $": {damage[0]}")}");
        TellDamage(header, index, damage);
        if (notes.UnreadableCpus != 0)
            damage.Add($"{notes.UnreadableCpus} CPU notes are cut short or of a version that is not known; their registers are unknown");
        var cpus = notes.Cpus();
        TellRemarks(header, cpus.Count, remarks);
        var form = index.Bytes.IsFlattened ? ", flattened" : "";
        var origin = notes.Origin;
        if (origin is not null)
            remarks.Add($"converted by Forengate from: {origin.Format}" + (origin.Producer is { } maker ? $", made by {maker}" : ""));
        return new View(
            new KdumpMemory(index, ranges, GapsOf(notes, options.Limits), options.Limits.CacheBytes), cpus, origin?.Consistency ?? ConsistencyOf(notes, cpus.Count),
            new ViewOrigin
            {
                Target = file.Path,
                Format = $"kdump-compressed (version {header.Version}{form}{(header.Is64 ? "" : ", 32-bit")})",
                Producer = notes.Producer ?? (header.SystemName == "Linux" ? "makedumpfile" : null),
                Machine = origin?.Machine,
                GuestName = origin?.GuestName,
                TakenAt = origin?.TakenAt is { } taken ? taken : header.Seconds is > 0 and < uint.MaxValue ? DateTimeOffset.FromUnixTimeSeconds(header.Seconds) : null,
                Packing = KdumpPage.Name(index.Codecs),
                FileBytes = (ulong)file.Length,
                Remarks = remarks,
                Damage = damage,
            });
    }

    private static ElfCoreNotes ReadNotes(KdumpBytes bytes, KdumpHeader header, ImageLimits limits, List<string> damage)
    {
        var notes = new ElfCoreNotes();
        var (offset, size) = header.Notes;
        if (size == 0)
            return notes;
        if (size > (ulong)limits.DocumentBytes || !bytes.Holds(offset, size))
        {
            damage.Add($"the notes of the CPUs ({size} bytes at 0x{offset:x}) are not in the file: registers are unknown");
            return notes;
        }
        var scratch = bytes.IsFlattened ? new byte[size] : [];
        notes.Add(bytes.Take(offset, (int)size, scratch));
        return notes;
    }

    /// <summary>The stretches that exist. What is no RAM but firmware or device memory is taken out of the index: a dump does not tell them apart, see docs/formats/elf-core.md.</summary>
    private static PhysicalRange[] RamOf(KdumpIndex index, ElfMaker maker, ImageLimits limits, string path, List<string> remarks)
    {
        const ulong HighFrame = ElfCoreLayout.FourGiB >> Page.Shift;
        var ranges = new List<PhysicalRange>();
        var exists = index.Exists;
        for (var start = exists.Next(0, isSet: true); start < exists.Frames;)
        {
            var end = exists.Next(start, isSet: false);
            var belowEnd = start < HighFrame ? Math.Min(end, HighFrame) : start;
            if (belowEnd > start && ElfCoreLayout.IsFirmware(start << Page.Shift, belowEnd << Page.Shift, hasGapBelow: true, maker))
            {
                remarks.Add($"{RangeOf(start, belowEnd)} was left out: firmware or device memory below 4 GiB, not RAM");
                exists.Clear(start, belowEnd);
                start = belowEnd;
            }
            if (start < end)
                ranges.Add(RangeOf(start, end));
            if (ranges.Count > limits.Extents)
                throw new ImageFormatException($"'{path}' is a kdump of more than {limits.Extents} stretches of memory, which is beyond any machine");
            start = exists.Next(end, isSet: true);
        }
        return [.. ranges];
    }

    private static void TellDamage(KdumpHeader header, KdumpIndex index, List<string> damage)
    {
        if ((header.Status & KdumpLayout.StatusIncomplete) != 0)
            damage.Add("the program that wrote the dump marked it as incomplete: its disk was full, or it was stopped");
        if (index.Elsewhere != 0)
        {
            damage.Add($"the dump is split over several files: this one has frames 0x{header.StartFrame:x} to 0x{header.EndFrame:x}, {index.Elsewhere} pages are in the others; "
                + "makedumpfile --reassemble makes one of them");
        }
        if (index.Damaged == 0)
            return;
        var missing = new List<string>();
        var bad = index.Bad;
        for (var start = bad.Next(0, isSet: true); start < bad.Frames && missing.Count <= RangesNamed;)
        {
            var end = bad.Next(start, isSet: false);
            missing.Add(RangeOf(start, end).ToString());
            start = bad.Next(end, isSet: true);
        }
        var named = missing.Count > RangesNamed ? $"{string.Join(", ", missing.Take(RangesNamed))}, …" : string.Join(", ", missing);
        damage.Add($"0x{index.Damaged << Page.Shift:x} bytes of memory are missing, their descriptors or data cut off or damaged: {named}");
    }

    private static void TellRemarks(KdumpHeader header, int cpus, List<string> remarks)
    {
        if (header.Version > KdumpLayout.NewestVersion)
            remarks.Add($"the dump is of version {header.Version}, newer than {KdumpLayout.NewestVersion}, the last that is known: what it has beyond that was not looked at");
        if (cpus == 0)
            remarks.Add("the dump has no notes of CPUs: all registers are unknown");
        else if (header.Cpus > cpus)
            remarks.Add($"the dump has notes of {cpus} of {header.Cpus} CPUs: registers of the others are unknown");
        if (header.EraseInfo.Size != 0)
            remarks.Add("parts of memory were erased by whoever made the dump (makedumpfile's eraseinfo)");
    }

    private static Consistency ConsistencyOf(ElfCoreNotes notes, int cpus) => notes.IsQemu
        ? new Consistency(cpus == 0 ? ConsistencyLevel.MemoryOnly : ConsistencyLevel.Instant, "QEMU keeps the guest stopped while it writes a dump")
        : new Consistency(ConsistencyLevel.Unknown, "the dump does not say how it was taken");

    /// <summary>Why pages have no bytes, as our own note says: sorted, disjoint, on page boundaries.</summary>
    private static PageRun[] GapsOf(ElfCoreNotes notes, ImageLimits limits)
    {
        var gaps = new List<PageRun>();
        foreach (var gap in notes.Gaps.OrderBy(gap => gap.Start))
        {
            var isWhole = ((gap.Start.Value | gap.Length) & Page.OffsetMask) == 0 && gap.Length != 0;
            if (isWhole && gap.Start.Value < limits.AddressSpace && gap.Length <= limits.AddressSpace - gap.Start.Value && (gaps.Count == 0 || gaps[^1].Range.End <= gap.Start))
                gaps.Add(new PageRun(new PhysicalRange(gap.Start, gap.Length), gap.State));
        }
        return [.. gaps];
    }

    private static PhysicalRange RangeOf(ulong start, ulong end) => new(PhysicalAddress.FromFrame(start), (end - start) << Page.Shift);
}
