using System.Buffers.Binary;
using System.Text;

namespace Forengate.Memory;

/// <summary>Our own note of where a core's memory came from, name "FORENGATE", type 1: what an ELF core has no place for. docs/formats/elf-core.md has the layout.</summary>
/// <param name="Consistency">How far memory and CPUs are of one instant.</param>
/// <param name="TakenAt">When the memory was taken, where known.</param>
/// <param name="Format">The format it was converted from.</param>
/// <param name="Producer">Who made that, where known.</param>
/// <param name="Machine">The hypervisor's machine type, where known.</param>
/// <param name="GuestName">The guest's name, where known.</param>
internal sealed record OriginNote(Consistency Consistency, DateTimeOffset? TakenAt, string Format, string? Producer, string? Machine, string? GuestName)
{
    private const uint NoteType = 1;
    private const uint Version = 1;
    private const int LevelAt = 4;

    /// <summary>i64: 100 ns since 0001-01-01 UTC; 0 where unknown.</summary>
    private const int TakenAtAt = 8;

    private const int TextsAt = 16;
    private const int TextCount = 5;

    /// <summary>Bytes of one text that are written and believed.</summary>
    private const int MaxText = 1024;

    public static bool Is(in ElfNote note) => note.Type == NoteType && note.Name.SequenceEqual(FullCpuNote.NoteName);

    public static OriginNote Of(View view) => new(
        view.Consistency, view.Origin.TakenAt, view.Origin.Format, view.Origin.Producer, view.Origin.Machine, view.Origin.GuestName);

    public void AddTo(ElfNoteWriter notes)
    {
        string?[] texts = [Consistency.Reason, Format, Producer, Machine, GuestName];
        var encoded = texts.Select(text => Encode(text ?? "")).ToArray();
        var note = notes.Add(FullCpuNote.NoteName, NoteType, TextsAt + encoded.Sum(text => sizeof(uint) + text.Length));
        BinaryPrimitives.WriteUInt32LittleEndian(note, Version);
        BinaryPrimitives.WriteUInt32LittleEndian(note[LevelAt..], (uint)Consistency.Level);
        BinaryPrimitives.WriteInt64LittleEndian(note[TakenAtAt..], TakenAt?.UtcTicks ?? 0);
        var rest = note[TextsAt..];
        foreach (var text in encoded)
        {
            BinaryPrimitives.WriteInt32LittleEndian(rest, text.Length);
            text.CopyTo(rest[sizeof(uint)..]);
            rest = rest[(sizeof(uint) + text.Length)..];
        }
    }

    /// <summary>Reads the note's description; null when it is none that we know.</summary>
    public static OriginNote? Parse(ReadOnlySpan<byte> note)
    {
        if (note.Length < TextsAt || BinaryPrimitives.ReadUInt32LittleEndian(note) != Version)
            return null;
        var level = BinaryPrimitives.ReadUInt32LittleEndian(note[LevelAt..]);
        var ticks = BinaryPrimitives.ReadInt64LittleEndian(note[TakenAtAt..]);
        if (level > (uint)ConsistencyLevel.Smeared || ticks < 0 || ticks > DateTimeOffset.MaxValue.UtcTicks)
            return null;
        var texts = new string[TextCount];
        var rest = note[TextsAt..];
        for (var i = 0; i < TextCount; i++)
        {
            if (rest.Length < sizeof(uint))
                return null;
            var length = BinaryPrimitives.ReadUInt32LittleEndian(rest);
            if (length > MaxText || length > (uint)(rest.Length - sizeof(uint)))
                return null;
            texts[i] = Encoding.UTF8.GetString(rest.Slice(sizeof(uint), (int)length));
            rest = rest[(sizeof(uint) + (int)length)..];
        }
        return new OriginNote(
            new Consistency((ConsistencyLevel)level, texts[0]), ticks == 0 ? null : new DateTimeOffset(ticks, TimeSpan.Zero),
            texts[1], OrNull(texts[2]), OrNull(texts[3]), OrNull(texts[4]));

        static string? OrNull(string text) => text.Length == 0 ? null : text;
    }

    private static byte[] Encode(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        if (bytes.Length <= MaxText)
            return bytes;
        // Not in the middle of a character.
        var end = MaxText;
        while ((bytes[end] & 0xC0) == 0x80)
            end--;
        return bytes[..end];
    }
}
