namespace Forengate.Memory;

/// <summary>
/// Unpacked bytes of a packed part of a mapped file, from front to back. Damage is no exception: what comes before it is handed out, then the stream ends and <see cref="Damage"/>
/// says why.
/// </summary>
/// <param name="file">Not owned.</param>
/// <param name="start">Where the packed bytes begin in the file.</param>
internal abstract class UnpackingStream(MappedFile file, long start) : Stream
{
    /// <summary>Input handed to a decoder at a time: 1 MiB, so that a file that shrinks is noticed in time.</summary>
    private const int InputChunk = 1 << 20;

    private long _at = start;
    private long _position;
    private bool _ended;

    /// <summary>Why the stream ended before its time, as the end of a sentence; null where it did not.</summary>
    public string? Damage { get; private set; }

    /// <summary>Where <see cref="Damage"/> ends the stream, throw <see cref="InvalidDataException"/> with it instead of ending.</summary>
    public bool ThrowsAtDamage { get; set; }

    /// <summary>How far the file was read: an offset in it.</summary>
    public long PackedPosition => _at;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    /// <summary>Unknown until the end is reached.</summary>
    public override long Length => throw new NotSupportedException();

    /// <summary>Bytes handed out so far.</summary>
    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException();
    }

    protected MappedFile File { get; } = file;

    /// <summary>What came of one step of a decoder.</summary>
    protected enum Step
    {
        /// <summary>Something was consumed or written, or more input is needed.</summary>
        More,

        /// <summary>The member is complete; another may follow.</summary>
        EndOfMember,

        /// <summary>The input can't be what it claims to be.</summary>
        Damaged,
    }

    /// <summary>Opens the decoder for a packing.</summary>
    /// <exception cref="ImageFormatException">Its library is not installed.</exception>
    public static UnpackingStream Open(Packing packing, MappedFile file, long start) => packing switch
    {
        Packing.Gzip => new GzipUnpacker(file, start),
        Packing.Bzip2 => new Bzip2Unpacker(file, start),
        Packing.Xz => new XzUnpacker(file, start),
        Packing.Lzop => new LzopUnpacker(file, start),
        Packing.Zstd => new ZstdUnpacker(file, start),
        _ => throw new ArgumentOutOfRangeException(nameof(packing)),
    };

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        while (!_ended && buffer.Length != 0)
        {
            File.CheckLength();
            var input = File.Span(_at, InputChunk);
            var isLast = _at + input.Length >= File.Length;
            var step = Decode(input, isLast, buffer, out var consumed, out var written);
            _at += consumed;
            _position += written;
            if (step == Step.Damaged)
                End($"the packed data are damaged at 0x{_at:x} of the file ({Reason})");
            else if (step == Step.EndOfMember && !StartMember(File.Span(_at, InputChunk)))
                End(null);
            else if (step == Step.More && consumed == 0 && written == 0)
                End($"the packed data are cut off at 0x{_at:x} of the file");
            if (written != 0)
                return written;
        }
        return Damage is null || !ThrowsAtDamage ? 0 : throw new InvalidDataException(Damage);
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <summary>What is wrong, after <see cref="Step.Damaged"/>.</summary>
    protected virtual string Reason => "they do not decode";

    /// <summary>Decodes as much as fits.</summary>
    /// <param name="input">What the file has from here; may be empty.</param>
    /// <param name="isLast">Nothing follows <paramref name="input"/>.</param>
    /// <param name="output">Never empty.</param>
    /// <param name="consumed">Bytes of <paramref name="input"/> that are not needed again.</param>
    /// <param name="written">Bytes written to <paramref name="output"/>.</param>
    protected abstract Step Decode(ReadOnlySpan<byte> input, bool isLast, Span<byte> output, out int consumed, out int written);

    /// <summary>Gets ready for another member that begins here; false where none does.</summary>
    protected abstract bool StartMember(ReadOnlySpan<byte> input);

    private void End(string? damage)
    {
        _ended = true;
        Damage = damage;
    }
}
