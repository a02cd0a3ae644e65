using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// A 64-bit ELF core as QEMU's <c>dump-guest-memory</c> without paging writes it: notes first, a segment for each stretch of readable memory with its physical address. What the source
/// has no bytes for is left out; our own notes say why, and keep every register.
/// </summary>
public sealed class ElfCoreWriter : IImageWriter
{
    /// <summary>What the reader takes, less those that are no memory.</summary>
    private const int MaxSegments = (1 << 22) - 2;

    private const int HeaderSize = 64;
    private const int SectionHeaderSize = 64;
    private const ushort TypeCore = 4;
    private const byte Class64 = 2;
    private const byte LittleEndian = 1;
    private const byte CurrentVersion = 1;

    public string Name => ElfCoreFormat.FormatName;

    public IReadOnlyList<string> Extensions => [".elf", ".core", ".vmcore"];

    public ImageWriteResult Write(View view, Stream output, ImageWriteOptions options, IProgress<ImageWriteProgress>? progress, CancellationToken cancellation)
    {
        var survey = MemorySurvey.Of(view.Memory, cancellation);
        var readable = survey.Runs.Where(run => run.IsReadable).Select(run => run.Range).ToArray();
        if (readable.Length == 0)
            throw new ImageFormatException($"'{view.Origin.Target}' holds no memory that can be read: there is nothing to write");
        if (readable.Length > MaxSegments)
            throw new ImageFormatException($"'{view.Origin.Target}' is memory in {readable.Length} pieces, more than an ELF core should have; write it as raw");
        var lost = new List<string>(CpuNotes.Lost(view.Cpus));
        var gaps = survey.Unreadable.ToArray();
        if (gaps.Length > GapsNote.MaxGaps)
        {
            lost.Add($"why the pages between {gaps.Length} pieces have no bytes: they are not in the file, like no memory at all");
            gaps = [];
        }
        var header = Header(readable, Notes(view, gaps), CpuNotes.Is64(view.Cpus));
        OutputPart[] parts = [OutputPart.Of(header), .. readable.Select(OutputPart.Of)];
        var tally = MemoryOutput.Write(view.Memory, parts, output, options, progress, cancellation);
        var failed = tally.Missing();
        if (failed.Count != 0)
            lost.Add($"pages that could not be read when their turn came are zeros, at {ImageWriteText.Ranges(failed)}");
        return new ImageWriteResult(
            parts.Aggregate(0UL, (sum, part) => sum + part.Length), survey.Readable >> Page.Shift, tally.ZeroPages,
            [.. survey.Unreadable.Select(run => run.Range).Concat(failed).OrderBy(range => range.Start).Take(OutputTally.RangesNamed)], lost);
    }

    private static byte[] Notes(View view, PageRun[] gaps)
    {
        var notes = new ElfNoteWriter();
        CpuNotes.AddTo(notes, view.Cpus);
        OriginNote.Of(view).AddTo(notes);
        if (gaps.Length != 0)
            GapsNote.Add(notes, gaps);
        return notes.Written.ToArray();
    }

    /// <summary>Everything before the memory, which begins on a page boundary: so pages can be mapped, and those of zeros be holes.</summary>
    private static byte[] Header(PhysicalRange[] segments, byte[] notes, bool is64)
    {
        var count = segments.Length + 1;
        var isMany = count >= ElfHeader.ManyProgramHeaders;
        var sectionAt = (long)HeaderSize + ((long)count * ElfHeader.ProgramHeaderSize64);
        var notesAt = sectionAt + (isMany ? SectionHeaderSize : 0);
        var memoryAt = (notesAt + notes.Length + Page.Size - 1) & ~(long)Page.OffsetMask;
        var bytes = new byte[memoryAt];
        ReadOnlySpan<byte> identity = [0x7F, (byte)'E', (byte)'L', (byte)'F', Class64, LittleEndian, CurrentVersion];
        identity.CopyTo(bytes);
        var file = new ElfHeader(
            true, is64 ? ElfHeader.MachineX64 : ElfHeader.MachineI386, HeaderSize, ElfHeader.ProgramHeaderSize64,
            isMany ? ElfHeader.ManyProgramHeaders : (ushort)count, isMany ? (ulong)sectionAt : 0);
        file.Write(bytes, TypeCore);
        if (isMany)
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan((int)sectionAt + file.SectionInfoAt), (uint)count);

        new ElfSegment(ElfSegment.Note, (ulong)notesAt, default, (ulong)notes.Length, (ulong)notes.Length).Write(bytes.AsSpan(HeaderSize));
        notes.CopyTo(bytes, notesAt);
        var offset = (ulong)memoryAt;
        for (var i = 0; i < segments.Length; i++)
        {
            new ElfSegment(ElfSegment.Load, offset, segments[i].Start, segments[i].Length, segments[i].Length)
                .Write(bytes.AsSpan(HeaderSize + ((i + 1) * ElfHeader.ProgramHeaderSize64)));
            offset += segments[i].Length;
        }
        return bytes;
    }
}
