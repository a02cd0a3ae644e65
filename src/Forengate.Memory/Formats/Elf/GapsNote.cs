using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// Our own note of memory that a core holds no bytes for, name "FORENGATE", type 3: address, length, page state. No segment says that in a way that all readers take alike.
/// docs/formats/elf-core.md has the layout.
/// </summary>
internal static class GapsNote
{
    /// <summary>More are not written: a reader would have to take several 10 MB of notes.</summary>
    public const int MaxGaps = 1 << 20;

    private const uint NoteType = 3;
    private const int EntrySize = 24;
    private const int LengthAt = 8;
    private const int StateAt = 16;

    public static bool Is(in ElfNote note) => note.Type == NoteType && note.Name.SequenceEqual(FullCpuNote.NoteName);

    public static void Add(ElfNoteWriter notes, IReadOnlyList<PageRun> gaps)
    {
        var note = notes.Add(FullCpuNote.NoteName, NoteType, gaps.Count * EntrySize);
        foreach (var gap in gaps)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(note, gap.Range.Start.Value);
            BinaryPrimitives.WriteUInt64LittleEndian(note[LengthAt..], gap.Range.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(note[StateAt..], (uint)gap.State);
            note = note[EntrySize..];
        }
    }

    /// <summary>The gaps of a note; entries that make no sense are left out.</summary>
    public static IEnumerable<FileExtent> Parse(ReadOnlySpan<byte> note)
    {
        var gaps = new List<FileExtent>();
        for (; note.Length >= EntrySize && gaps.Count < MaxGaps; note = note[EntrySize..])
        {
            var state = BinaryPrimitives.ReadUInt32LittleEndian(note[StateAt..]);
            if (state is (uint)PageState.Missing or (uint)PageState.Ballooned or (uint)PageState.Excluded)
            {
                gaps.Add(FileExtent.Without(
                    new PhysicalAddress(BinaryPrimitives.ReadUInt64LittleEndian(note)), BinaryPrimitives.ReadUInt64LittleEndian(note[LengthAt..]), (PageState)state));
            }
        }
        return gaps;
    }
}
