namespace Forengate.Memory;

/// <summary>The rest of a migration stream, in memory: what follows the RAM of a stream that can only be read once.</summary>
/// <param name="bytes">The rest.</param>
/// <param name="start">Position of its first byte.</param>
internal sealed class MemoryInput(byte[] bytes, long start) : MigrationInput
{
    private int _at;

    public override long Position => start + _at;

    public override long End => start + bytes.Length;

    public override int LongestPeek => int.MaxValue;

    public override ReadOnlySpan<byte> Peek(int count) => bytes.AsSpan(_at, Math.Min(count, bytes.Length - _at));

    public override bool Skip(long count)
    {
        var all = count <= bytes.Length - _at;
        _at = all ? _at + (int)count : bytes.Length;
        return all;
    }

    /// <summary>Pages are not kept here: RAM ends before the rest begins.</summary>
    public override bool TryKeep(int length, out long offset)
    {
        offset = 0;
        return false;
    }

    public override bool TrySeek(long position)
    {
        if (position < start || position > End)
            return false;
        _at = (int)(position - start);
        return true;
    }
}
