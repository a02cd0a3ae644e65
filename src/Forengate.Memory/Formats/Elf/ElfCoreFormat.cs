namespace Forengate.Memory;

/// <summary>
/// ELF cores of whole machines: QEMU's <c>dump-guest-memory</c> (paging off and on), libvirt's <c>virsh dump --memory-only</c>, and others that store physical addresses.
/// docs/formats/elf-core.md has the layout.
/// </summary>
public sealed class ElfCoreFormat : IImageFormat
{
    public const string FormatName = "elf";

    /// <summary>4 Mi segments: a core with paging of a guest with 16 GiB scattered page by page.</summary>
    private const uint MaxSegments = 1 << 22;

    /// <summary>Room for the notes of 8,192 CPUs and a guest's own of 1 MiB.</summary>
    private const int MaxNoteSegment = 16 << 20;

    private const int SegmentsBetweenCancellationChecks = 1 << 16;

    public string Name => FormatName;

    public bool Recognizes(ReadOnlySpan<byte> head, long length) => ElfHeader.IsCore(head);

    public View Open(MappedFile file, ImageOpenOptions options, CancellationToken cancellation)
    {
        if (ElfHeader.Parse(file.Span(0, 64), out var header) is { } trouble)
            throw new ImageFormatException($"'{file.Path}' {trouble}");
        var remarks = new List<string>();
        var count = CountSegments(file, header, remarks);
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
                AddNotes(file, segment, notes, remarks);
        }

        if (layout.Segments == 0)
            throw new ImageFormatException($"'{file.Path}' is an ELF core without any memory in it; was it cut off, or dumped with a filter?");
        if (!layout.HasPhysicalAddresses && layout.Segments > 1)
            throw new ImageFormatException($"'{file.Path}' is the core of a process, not of a machine: its segments have no physical addresses");
        return MakeView(file, header, layout, notes, remarks);
    }

    private static View MakeView(MappedFile file, in ElfHeader header, ElfCoreLayout layout, ElfCoreNotes notes, List<string> remarks)
    {
        var memory = new FileMemory(file, layout.Extents(notes.IsQemu));
        if (memory.Ranges.Count == 0)
            throw new ImageFormatException($"'{file.Path}' is an ELF core without one whole page of RAM");
        foreach (var range in layout.LeftOut.Take(8))
            remarks.Add($"segment {range} was left out: firmware or device memory below 4 GiB, not RAM");
        if (memory.MissingBytes != 0)
            remarks.Add($"the file is cut off: 0x{memory.MissingBytes:x} of 0x{memory.Size:x} bytes of memory are missing");
        if (notes.UnreadableQemuNotes != 0)
            remarks.Add($"{notes.UnreadableQemuNotes} CPU notes by QEMU are cut short or of a version that is not known; their registers are unknown");
        var cpus = notes.Cpus();
        if (cpus.Count == 0)
            remarks.Add("the core has no notes of CPUs: all registers are unknown");
        return new View(
            memory, cpus,
            notes.IsQemu
                ? new Consistency(cpus.Count == 0 ? ConsistencyLevel.MemoryOnly : ConsistencyLevel.Instant, "QEMU keeps the guest stopped while it writes a core")
                : new Consistency(ConsistencyLevel.Unknown, "the core does not say how it was taken"),
            new ViewOrigin
            {
                Target = file.Path,
                Format = header.Is64 ? "ELF core (64-bit)" : "ELF core (32-bit)",
                Producer = notes.IsQemu ? "QEMU" : null,
                Remarks = remarks,
            });
    }

    /// <summary>How many program headers there are and lie in the file.</summary>
    private static uint CountSegments(MappedFile file, in ElfHeader header, List<string> remarks)
    {
        uint count = header.ProgramHeaderCount;
        if (count == ElfHeader.ManyProgramHeaders)
        {
            if (header.SectionHeaders == 0 || !file.TryRead(unchecked(header.SectionHeaders + (ulong)header.SectionInfoAt), out count))
            {
                count = ElfHeader.ManyProgramHeaders;
                remarks.Add($"the core has more than {count} segments, but the section header that counts them is cut off: only the first {count} were read");
            }
        }
        if (count > MaxSegments)
            throw new ImageFormatException($"'{file.Path}' claims {count} segments of memory, which is beyond any core; dump again without paging (virsh dump --memory-only)");
        var length = (ulong)file.Length;
        var there = header.ProgramHeaders >= length ? 0 : (length - header.ProgramHeaders) / header.ProgramHeaderSize;
        if (there < count)
        {
            remarks.Add($"the file is cut off within its list of segments: {there} of {count} are there");
            count = (uint)there;
        }
        return count;
    }

    private static void AddNotes(MappedFile file, in ElfSegment segment, ElfCoreNotes notes, List<string> remarks)
    {
        if (segment.FileOffset >= (ulong)file.Length)
        {
            remarks.Add("the file is cut off before its notes: registers are unknown");
            return;
        }
        notes.Add(file.Span((long)segment.FileOffset, (int)Math.Min(segment.FileSize, MaxNoteSegment)));
    }
}
