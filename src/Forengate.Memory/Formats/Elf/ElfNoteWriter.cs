using System.Buffers;
using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>Writes notes one behind the other, as a PT_NOTE segment holds them (gABI 4+, chapter 5, "Note Section").</summary>
internal sealed class ElfNoteWriter
{
    private const int HeaderSize = 12;

    private readonly ArrayBufferWriter<byte> _notes = new();

    public ReadOnlySpan<byte> Written => _notes.WrittenSpan;

    /// <summary>Appends a note whose description is zeros; the caller fills it before the next is appended.</summary>
    /// <param name="name">Without the zero at its end.</param>
    /// <param name="type">What the name's owner means by it.</param>
    /// <param name="descriptionSize">In bytes.</param>
    public Span<byte> Add(ReadOnlySpan<byte> name, uint type, int descriptionSize)
    {
        var descriptionAt = HeaderSize + Padded(name.Length + 1);
        var size = descriptionAt + Padded(descriptionSize);
        var note = _notes.GetSpan(size)[..size];
        note.Clear();
        BinaryPrimitives.WriteInt32LittleEndian(note, name.Length + 1);
        BinaryPrimitives.WriteInt32LittleEndian(note[sizeof(uint)..], descriptionSize);
        BinaryPrimitives.WriteUInt32LittleEndian(note[(2 * sizeof(uint))..], type);
        name.CopyTo(note[HeaderSize..]);
        _notes.Advance(size);
        return note.Slice(descriptionAt, descriptionSize);
    }

    private static int Padded(int size) => (size + 3) & ~3;
}
