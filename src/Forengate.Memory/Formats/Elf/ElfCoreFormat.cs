namespace Forengate.Memory;

/// <summary>
/// ELF cores of whole machines: QEMU's <c>dump-guest-memory</c> (paging off and on), libvirt's <c>virsh dump --memory-only</c>, VirtualBox's
/// <c>dumpvmcore</c>, what this program writes, and others that store physical addresses.
/// docs/formats/elf-core.md has the layout.
/// </summary>
public sealed class ElfCoreFormat : IImageFormat
{
    public const string FormatName = "elf";

    /// <summary>4 Mi segments: a core with paging of a guest with 16 GiB scattered page by page.</summary>
    private const uint MaxSegments = 1 << 22;

    private const int LeftOutNamed = 8;

    private const int SegmentsBetweenCancellationChecks = 1 << 16;

    public string Name => FormatName;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => ElfHeader.IsCore(head) && !ProcessCore.Recognizes(head);

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        if (ElfHeader.Parse(file.Span(0, 64), out var header) is { } trouble)
            throw new ImageFormatException($"'{file.Path}' {trouble}");
        var (remarks, damage) = (new List<string>(), new List<string>());
        var count = CountSegments(file, header, damage);
        var layout = new ElfCoreLayout();
        var notes = new ElfCoreNotes();
        for (uint i = 0; i < count; i++)
        {
            if (i % SegmentsBetweenCancellationChecks == 0)
                cancellation.ThrowIfCancellationRequested();
            var size = header.Is64 ? ElfHeader.ProgramHeaderSize64 : ElfHeader.ProgramHeaderSize32;
            var segment = ElfSegment.Parse(file.Span((long)(header.ProgramHeaders + ((ulong)i * header.ProgramHeaderSize)), size), header.Is64);
            if (segment.Type == ElfSegment.Load)
                layout.Add(segment);
            else if (segment.Type == ElfSegment.Note)
                AddNotes(file, segment, notes, options.Limits, damage);
        }

        if (layout.Segments == 0)
            throw new ImageFormatException($"'{file.Path}' is an ELF core without any memory in it; was it cut off, or dumped with a filter?");
        if (!layout.HasPhysicalAddresses && layout.Segments > 1)
            throw new ImageFormatException($"'{file.Path}' is the core of a process, not of a machine: its segments have no physical addresses");
        // A gap is a claim like any other: beyond what a machine has it is none.
        var gaps = notes.Gaps.Where(gap => gap.Start.Value < options.Limits.AddressSpace && gap.Length <= options.Limits.AddressSpace - gap.Start.Value);
        var memory = new FileMemory(file, layout.Extents(notes.Maker).Concat(gaps));
        if (memory.Ranges.Count == 0)
            throw new ImageFormatException($"'{file.Path}' is an ELF core without one whole page of RAM");
        foreach (var range in layout.LeftOut.Take(LeftOutNamed))
            remarks.Add($"segment {range} was left out: firmware or device memory below 4 GiB, not RAM");
        AddMissing(memory, gaps, damage);
        if (notes.UnreadableCpus != 0)
            damage.Add($"{notes.UnreadableCpus} CPU notes are cut short or of a version that is not known; their registers are unknown");
        return MakeView(file, header, memory, notes, remarks, damage);
    }

    private static View MakeView(MappedFile file, in ElfHeader header, FileMemory memory, ElfCoreNotes notes, List<string> remarks, List<string> damage)
    {
        var cpus = notes.Cpus();
        if (cpus.Count == 0)
            remarks.Add("the core has no notes of CPUs: all registers are unknown");
        var origin = notes.Origin;
        if (origin is not null)
            remarks.Add($"converted by Forengate from: {origin.Format}" + (origin.Producer is { } maker ? $", made by {maker}" : ""));
        return new View(
            memory, cpus, origin?.Consistency ?? ConsistencyOf(notes.Maker, cpus.Count != 0),
            new ViewOrigin
            {
                Target = file.Path,
                Format = header.Is64 ? "ELF core (64-bit)" : "ELF core (32-bit)",
                Producer = notes.Producer,
                TakenAt = origin?.TakenAt,
                Machine = origin?.Machine,
                GuestName = origin?.GuestName,
                Packing = "none",
                FileBytes = (ulong)file.Length,
                Remarks = remarks,
                Damage = damage,
            });
    }

    private static Consistency ConsistencyOf(ElfMaker maker, bool hasCpus) => maker switch
    {
        ElfMaker.Qemu => new Consistency(hasCpus ? ConsistencyLevel.Instant : ConsistencyLevel.MemoryOnly, "QEMU keeps the guest stopped while it writes a core"),
        ElfMaker.VirtualBox => new Consistency(hasCpus ? ConsistencyLevel.Instant : ConsistencyLevel.MemoryOnly, "VirtualBox halts all CPUs while it writes a core"),
        _ => new Consistency(ConsistencyLevel.Unknown, "the core does not say how it was taken"),
    };

    /// <summary>Says what the file should hold and does not; memory that its own notes call missing was missing before.</summary>
    private static void AddMissing(FileMemory memory, IEnumerable<FileExtent> gaps, List<string> damage)
    {
        var known = gaps.Where(gap => gap.State == PageState.Missing).Aggregate(0UL, (sum, gap) => sum + gap.Length);
        if (memory.MissingBytes > known)
            damage.Add($"the file is cut off: 0x{memory.MissingBytes - known:x} of 0x{memory.Size:x} bytes of memory are missing");
        if (known != 0)
            damage.Add($"0x{known:x} of 0x{memory.Size:x} bytes of memory were missing in the image that the core was converted from");
    }

    /// <summary>How many program headers there are and lie in the file.</summary>
    private static uint CountSegments(MappedFile file, in ElfHeader header, List<string> damage)
    {
        uint count = header.ProgramHeaderCount;
        if (count == ElfHeader.ManyProgramHeaders)
        {
            if (header.SectionHeaders == 0 || !file.TryRead(unchecked(header.SectionHeaders + (ulong)header.SectionInfoAt), out count))
            {
                count = ElfHeader.ManyProgramHeaders;
                damage.Add($"the core has more than {count} segments, but the section header that counts them is cut off: only the first {count} were read");
            }
        }
        if (count > MaxSegments)
            throw new ImageFormatException($"'{file.Path}' claims {count} segments of memory, which is beyond any core; dump again without paging (virsh dump --memory-only)");
        var length = (ulong)file.Length;
        var there = header.ProgramHeaders >= length ? 0 : (length - header.ProgramHeaders) / header.ProgramHeaderSize;
        if (there < count)
        {
            damage.Add($"the file is cut off within its list of segments: {there} of {count} are there");
            count = (uint)there;
        }
        return count;
    }

    private static void AddNotes(MappedFile file, in ElfSegment segment, ElfCoreNotes notes, ImageLimits limits, List<string> damage)
    {
        if (segment.FileOffset >= (ulong)file.Length)
        {
            damage.Add("the file is cut off before its notes: registers are unknown");
            return;
        }
        if (segment.FileSize > (ulong)file.Length - segment.FileOffset)
            damage.Add("the file is cut off within its notes");
        notes.Add(file.Span((long)segment.FileOffset, (int)Math.Min(segment.FileSize, (ulong)limits.DocumentBytes)));
    }
}
