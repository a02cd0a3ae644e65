namespace Forengate.Memory;

/// <summary>A migration stream that can only be read once, from front to back: what a decompressor gives.</summary>
internal sealed class ForwardInput : MigrationInput
{
    private const int BufferSize = 1 << 20;

    /// <summary>Peeks are for headers and footers; sections that come before RAM ends are at most this long.</summary>
    private const int Longest = 256 << 10;

    private readonly Stream _stream;
    private readonly Func<long, ReadOnlySpan<byte>, long>? _keep;
    private readonly byte[] _buffer = new byte[BufferSize];
    private int _start;
    private int _end;
    private long _position;
    private bool _ended;

    /// <param name="stream">Not owned. What it throws for damaged input (<see cref="InvalidDataException"/>, <see cref="IOException"/>) is taken for its end: <see cref="Failure"/> keeps it.</param>
    /// <param name="keep">
    /// Stores a page's bytes (with the stream's position of the first) and gives the offset at which <see cref="MigrationBytes"/> finds them again; null: the source can be asked for any position of the stream later.
    /// </param>
    public ForwardInput(Stream stream, Func<long, ReadOnlySpan<byte>, long>? keep = null)
    {
        _stream = stream;
        _keep = keep;
    }

    /// <summary>Why the stream ended before its time, in the words of what unpacked it; null when it just ended.</summary>
    public string? Failure { get; private set; }

    public override long Position => _position;

    public override long End => long.MaxValue;

    public override int LongestPeek => Longest;

    public override ReadOnlySpan<byte> Peek(int count)
    {
        if (_end - _start < count)
            Fill(Math.Min(count, Longest));
        return _buffer.AsSpan(_start, Math.Min(count, _end - _start));
    }

    public override bool Skip(long count)
    {
        while (count > 0)
        {
            if (_start == _end)
                Fill(1);
            if (_start == _end)
                return false;
            var step = (int)Math.Min(count, _end - _start);
            _start += step;
            _position += step;
            count -= step;
        }
        return true;
    }

    public override bool TryKeep(int length, out long offset)
    {
        offset = _position;
        if (_keep is not null)
        {
            var bytes = Peek(length);
            if (bytes.Length < length)
                return false;
            offset = _keep(_position, bytes);
        }
        return Skip(length);
    }

    /// <summary>All that is left, as an input that can go back and forth.</summary>
    /// <param name="limit">Most bytes taken; what lies behind is left out.</param>
    /// <param name="whole">False when the limit cut it off.</param>
    public MemoryInput TakeRest(int limit, out bool whole)
    {
        var start = _position;
        using var rest = new MemoryStream();
        while (rest.Length < limit)
        {
            var bytes = Peek((int)Math.Min(Longest, limit - rest.Length));
            if (bytes.Length == 0)
                break;
            rest.Write(bytes);
            Skip(bytes.Length);
        }
        whole = Peek(1).Length == 0;
        return new MemoryInput(rest.ToArray(), start);
    }

    private void Fill(int wanted)
    {
        if (_ended)
            return;
        if (_start + wanted > _buffer.Length)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }
        try
        {
            while (_end - _start < wanted && !_ended)
            {
                var got = _stream.Read(_buffer, _end, _buffer.Length - _end);
                _ended = got == 0;
                _end += got;
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException and not ImageFormatException)
        {
            Failure = e.Message;
            _ended = true;
        }
    }
}
