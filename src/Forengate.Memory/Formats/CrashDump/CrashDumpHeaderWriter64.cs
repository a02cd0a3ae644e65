using System.Buffers.Binary;
using System.Runtime.InteropServices;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Memory;

/// <summary>Writes the header of a 64-bit crash dump field by field. A new header is filled with Windows' filler; what is never set keeps it.</summary>
public readonly ref struct CrashDumpHeaderWriter64
{
    private readonly Span<byte> _bytes;

    /// <param name="bytes">At least <see cref="CrashDumpLayout64.HeaderSize"/> bytes; all of them are overwritten with filler, signature and mark.</param>
    public CrashDumpHeaderWriter64(Span<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes.Length, L.HeaderSize);
        _bytes = bytes[..L.HeaderSize];
        MemoryMarshal.Cast<byte, uint>(_bytes).Fill(BitConverter.IsLittleEndian ? L.SignatureValue : BinaryPrimitives.ReverseEndianness(L.SignatureValue));
        Dword(L.ValidDump, L.ValidDumpValue);
    }

    /// <summary>Sets a 32-bit field.</summary>
    /// <param name="offset">One of <see cref="CrashDumpLayout64"/>.</param>
    /// <param name="value">Written little-endian.</param>
    public void Dword(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_bytes[offset..], value);

    /// <summary>Sets a 64-bit field.</summary>
    /// <param name="offset">One of <see cref="CrashDumpLayout64"/>.</param>
    /// <param name="value">Written little-endian.</param>
    public void Qword(int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(_bytes[offset..], value);

    public void Byte(int offset, byte value) => _bytes[offset] = value;

    /// <summary>Copies bytes into a buffer field and clears the rest of what <paramref name="size"/> says.</summary>
    public void Buffer(int offset, int size, ReadOnlySpan<byte> value)
    {
        var field = _bytes.Slice(offset, size);
        field.Clear();
        value[..Math.Min(size, value.Length)].CopyTo(field);
    }

    /// <summary>Sets the comment: ASCII, cut so that a zero ends it.</summary>
    public void Comment(string text)
    {
        Span<byte> ascii = stackalloc byte[L.CommentSize];
        ascii.Clear();
        for (var i = 0; i < Math.Min(text.Length, L.CommentSize - 1); i++)
            ascii[i] = text[i] is >= ' ' and < (char)0x7F ? (byte)text[i] : (byte)'?';
        Buffer(L.Comment, L.CommentSize, ascii);
    }

    /// <summary>Sets the physical memory block: number of runs and pages, then the runs; the room for further runs is cleared.</summary>
    /// <param name="runs">At most <see cref="CrashDumpLayout64.MaxRuns"/>.</param>
    public void Runs(ReadOnlySpan<CrashDumpRun> runs)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(runs.Length, L.MaxRuns);
        _bytes.Slice(L.PhysicalMemoryBlock, L.PhysicalMemoryBlockSize).Clear();
        var pages = 0UL;
        for (var i = 0; i < runs.Length; i++)
        {
            pages += runs[i].PageCount;
            Qword(L.FirstRun + (i * L.RunSize), runs[i].BasePage);
            Qword(L.FirstRun + (i * L.RunSize) + 8, runs[i].PageCount);
        }
        Dword(L.NumberOfRuns, (uint)runs.Length);
        Qword(L.NumberOfPages, pages);
    }
}
