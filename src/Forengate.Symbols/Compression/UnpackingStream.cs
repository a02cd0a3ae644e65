namespace Forengate.Symbols;

/// <summary>A packed file read as what was packed: from its beginning to its end, once.</summary>
internal abstract class UnpackingStream(Stream packed) : Stream
{
    private const int InputLength = 1 << 16;

    private readonly byte[] _input = new byte[InputLength];
    private int _start;
    private int _end;
    private bool _isWhole;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        while (!buffer.IsEmpty && !_isWhole)
        {
            if (_start == _end)
                (_start, _end) = (0, packed.Read(_input));
            var (used, made, whole) = Unpack(_input.AsSpan(_start, _end - _start), buffer);
            _start += used;
            _isWhole = whole;
            if (made > 0)
                return made;
            // Nothing in and nothing out: the packed bytes end before what was packed does.
            if (used == 0 && !whole)
                throw new SymbolFormatException("the packed file is truncated; get it anew");
        }
        return 0;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <summary>Takes some of the input and makes some of the output. No input means that none follows.</summary>
    /// <returns>Bytes taken, bytes made, and whether that was the last of it.</returns>
    /// <exception cref="SymbolFormatException">The packed bytes are damaged.</exception>
    protected abstract (int Used, int Made, bool IsWhole) Unpack(ReadOnlySpan<byte> input, Span<byte> output);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            packed.Dispose();
        base.Dispose(disposing);
    }
}
