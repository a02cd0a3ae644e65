using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// The CPU notes at the beginning of an ELF core that QEMU wrote (ELF-64 or ELF-32, System V ABI; their content: <see cref="QemuCpuNote"/>).
/// The file may break off behind the notes.
/// </summary>
internal static class ElfNotes
{
    private const uint PtNote = 4;
    private const int MostHeaders = 4096;
    /// <summary>QEMU's own limit is far below.</summary>
    private const int MostCpus = 4096;

    /// <summary>True when headers and notes are all there.</summary>
    public static bool IsComplete(ReadOnlySpan<byte> file) => FindNotes(file, out var offset, out var length) && offset + length <= (ulong)file.Length;

    /// <summary>One record a CPU, in QEMU's order; empty when the file holds none.</summary>
    public static List<CpuState> Parse(ReadOnlySpan<byte> file)
    {
        var cpus = new List<CpuState>();
        if (!FindNotes(file, out var offset, out var length) || offset > (ulong)file.Length)
            return cpus;
        var notes = file.Slice((int)offset, (int)Math.Min(length, (ulong)file.Length - offset));
        while (notes.Length >= 12 && cpus.Count < MostCpus)
        {
            var nameSize = BinaryPrimitives.ReadUInt32LittleEndian(notes);
            var descriptionSize = BinaryPrimitives.ReadUInt32LittleEndian(notes[4..]);
            var descriptionAt = 12 + Align(nameSize);
            var end = descriptionAt + Align(descriptionSize);
            if (end > (ulong)notes.Length)
                break;
            var name = notes.Slice(12, (int)nameSize);
            if (name.StartsWith("QEMU"u8) && QemuCpuNote.Parse(notes.Slice((int)descriptionAt, (int)descriptionSize), cpus.Count) is { } cpu)
                cpus.Add(cpu with { Source = "QEMU's ELF note" });
            notes = notes[(int)end..];
        }
        return cpus;
    }

    private static ulong Align(uint size) => ((ulong)size + 3) & ~3UL;

    private static bool FindNotes(ReadOnlySpan<byte> file, out ulong offset, out ulong length)
    {
        offset = length = 0;
        if (file.Length < 52 || !file.StartsWith("\u007fELF"u8) || file[5] != 1)
            return false;
        var wide = file[4] == 2;
        if (wide && file.Length < 64)
            return false;
        var tableAt = wide ? BinaryPrimitives.ReadUInt64LittleEndian(file[0x20..]) : BinaryPrimitives.ReadUInt32LittleEndian(file[0x1C..]);
        var entrySize = BinaryPrimitives.ReadUInt16LittleEndian(file[(wide ? 0x36 : 0x2A)..]);
        var count = BinaryPrimitives.ReadUInt16LittleEndian(file[(wide ? 0x38 : 0x2C)..]);
        if (entrySize < (wide ? 56 : 32))
            return false;
        for (var i = 0; i < Math.Min((int)count, MostHeaders); i++)
        {
            var at = tableAt + (ulong)i * entrySize;
            if (at > (ulong)file.Length || (ulong)file.Length - at < entrySize)
                return false;
            var header = file.Slice((int)at, entrySize);
            if (BinaryPrimitives.ReadUInt32LittleEndian(header) != PtNote)
                continue;
            offset = wide ? BinaryPrimitives.ReadUInt64LittleEndian(header[8..]) : BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
            length = wide ? BinaryPrimitives.ReadUInt64LittleEndian(header[32..]) : BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
            return offset <= CpuNoteFile.MaxSize && length <= CpuNoteFile.MaxSize;
        }
        return false;
    }
}
