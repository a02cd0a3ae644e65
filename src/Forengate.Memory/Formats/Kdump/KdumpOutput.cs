using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>Takes the parts of a kdump in any order: puts them in their places where the output can seek, and writes the flattened form, made for pipes, where it can't.</summary>
internal sealed class KdumpOutput
{
    private readonly Stream _stream;
    private readonly bool _isFlattened;
    private readonly long _base;
    private readonly byte[] _header = new byte[FlattenedSegments.SegmentHeaderSize];
    private ulong _written;
    private ulong _end;

    public KdumpOutput(Stream stream)
    {
        _stream = stream;
        _isFlattened = !stream.CanSeek;
        if (!_isFlattened)
        {
            _base = stream.Position;
            return;
        }
        var start = new byte[FlattenedSegments.HeaderSize];
        FlattenedSegments.WriteHeader(start);
        Put(start);
    }

    /// <summary>Bytes of output.</summary>
    public ulong Bytes => _isFlattened ? _written : _end;

    /// <summary>Puts a part at its offset in the plain form of the file.</summary>
    public void Write(ulong offset, ReadOnlySpan<byte> part)
    {
        if (part.IsEmpty)
            return;
        if (_isFlattened)
            PutPlace((long)offset, part.Length);
        else if (_stream.Position != _base + (long)offset)
            _stream.Position = _base + (long)offset;
        Put(part);
        _end = Math.Max(_end, offset + (ulong)part.Length);
    }

    /// <summary>Ends the output: behind its last byte.</summary>
    public void Finish()
    {
        if (_isFlattened)
            PutPlace(FlattenedSegments.EndMark, FlattenedSegments.EndMark);
        else
            _stream.Position = _base + (long)_end;
        _stream.Flush();
    }

    private void PutPlace(long offset, long size)
    {
        BinaryPrimitives.WriteInt64BigEndian(_header, offset);
        BinaryPrimitives.WriteInt64BigEndian(_header.AsSpan(sizeof(long)), size);
        Put(_header);
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        _stream.Write(bytes);
        _written += (ulong)bytes.Length;
    }
}
