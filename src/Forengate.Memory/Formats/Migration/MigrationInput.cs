using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>A migration stream, read from front to back: a part of a mapped file, bytes in memory, or something that can only be read once.</summary>
internal abstract class MigrationInput
{
    /// <summary>Where the next byte lies: in the file for a mapped one, else from the beginning of the stream.</summary>
    public abstract long Position { get; }

    /// <summary>One past the last byte, in the measure of <see cref="Position"/>; <see cref="long.MaxValue"/> where it can't be known before.</summary>
    public abstract long End { get; }

    /// <summary>The next bytes without going past them: all that are wanted, or those that are left.</summary>
    /// <param name="count">At most <see cref="LongestPeek"/>.</param>
    public abstract ReadOnlySpan<byte> Peek(int count);

    /// <summary>How far <see cref="Peek"/> sees, in bytes.</summary>
    public abstract int LongestPeek { get; }

    /// <summary>Goes past bytes.</summary>
    /// <returns>False when the stream ends before: the position is then its end.</returns>
    public abstract bool Skip(long count);

    /// <summary>Goes past a page's bytes, having kept them or knowing that they can be had again.</summary>
    /// <param name="length">1 to 64 KiB.</param>
    /// <param name="offset">Where <see cref="MigrationBytes"/> will find them.</param>
    /// <returns>False when the stream ends before all of them.</returns>
    public abstract bool TryKeep(int length, out long offset);

    /// <summary>Goes to a place; false where this input can't, or the place lies outside it.</summary>
    public virtual bool TrySeek(long position) => position >= Position && Skip(position - Position) && Position == position;

    public bool TryReadByte(out byte value)
    {
        var bytes = Peek(1);
        value = bytes.Length != 0 ? bytes[0] : (byte)0;
        return bytes.Length != 0 && Skip(1);
    }

    public bool TryReadUInt16(out ushort value)
    {
        var good = BinaryPrimitives.TryReadUInt16BigEndian(Peek(sizeof(ushort)), out value);
        return good && Skip(sizeof(ushort));
    }

    public bool TryReadUInt32(out uint value)
    {
        var good = BinaryPrimitives.TryReadUInt32BigEndian(Peek(sizeof(uint)), out value);
        return good && Skip(sizeof(uint));
    }

    public bool TryReadUInt64(out ulong value)
    {
        var good = BinaryPrimitives.TryReadUInt64BigEndian(Peek(sizeof(ulong)), out value);
        return good && Skip(sizeof(ulong));
    }

    /// <summary>Reads a name with its length in a byte before it.</summary>
    public bool TryReadName(out string name)
    {
        name = "";
        if (!TryReadByte(out var length))
            return false;
        var bytes = Peek(length);
        if (bytes.Length < length)
            return false;
        name = System.Text.Encoding.Latin1.GetString(bytes);
        return Skip(length);
    }
}
