namespace Forengate.Memory;

/// <summary>A migration stream that lies in a mapped file. Positions and offsets of pages are the file's.</summary>
internal sealed class MappedInput : MigrationInput
{
    /// <summary>How much the kernel is asked to fetch ahead at a time.</summary>
    private const long FetchAhead = 32 << 20;

    private readonly MappedFile _file;
    private readonly long _end;
    private long _position;
    private long _fetched;

    /// <param name="file">Not owned.</param>
    /// <param name="offset">Where the stream begins in the file.</param>
    /// <param name="length">Its bytes; cut at the file's end.</param>
    public MappedInput(MappedFile file, long offset, long length)
    {
        _file = file;
        _position = Math.Clamp(offset, 0, file.Length);
        _end = _position + Math.Clamp(length, 0, file.Length - _position);
        _fetched = _position;
    }

    public override long Position => _position;

    public override long End => _end;

    public override int LongestPeek => int.MaxValue;

    public override ReadOnlySpan<byte> Peek(int count)
    {
        if (_position >= _fetched)
            Fetch();
        return _file.Span(_position, (int)Math.Min(count, _end - _position));
    }

    public override bool Skip(long count)
    {
        var all = count <= _end - _position;
        _position = all ? _position + count : _end;
        return all;
    }

    public override bool TryKeep(int length, out long offset)
    {
        offset = _position;
        return Skip(length);
    }

    public override bool TrySeek(long position)
    {
        if (position < 0 || position > _end)
            return false;
        _position = position;
        _fetched = Math.Min(_fetched, position);
        return true;
    }

    private void Fetch()
    {
        _file.CheckLength();
        _file.Advise(MappedFileAdvice.WillNeed, _position, FetchAhead * 2);
        _fetched = _position + FetchAhead;
    }
}
