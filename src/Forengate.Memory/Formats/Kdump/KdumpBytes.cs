namespace Forengate.Memory;

/// <summary>The bytes of a kdump by their offsets in the plain form of the file, whichever form the file has.</summary>
internal sealed class KdumpBytes : IDisposable
{
    private readonly FlattenedSegments? _segments;

    /// <param name="file">Owned.</param>
    /// <param name="segments">The pieces of a flattened file; null for a plain one.</param>
    public KdumpBytes(MappedFile file, FlattenedSegments? segments)
    {
        File = file;
        _segments = segments;
    }

    public MappedFile File { get; }

    public bool IsFlattened => _segments is not null;

    /// <summary>Size in the plain form.</summary>
    public ulong Length => _segments?.Length ?? (ulong)File.Length;

    /// <summary>Bytes at an offset as far as they lie in one piece; empty where there are none.</summary>
    public ReadOnlySpan<byte> Span(ulong offset, int maxLength)
    {
        if (_segments is null)
            return offset > long.MaxValue ? default : File.Span((long)offset, maxLength);
        var count = _segments.Find(offset, out var position);
        return count == 0 ? default : File.Span((long)position, (int)Math.Min(count, (ulong)maxLength));
    }

    /// <summary>Exactly so many bytes: in place where they lie together, else gathered in <paramref name="scratch"/>. Empty where some are missing.</summary>
    public ReadOnlySpan<byte> Take(ulong offset, int length, Span<byte> scratch)
    {
        var span = Span(offset, length);
        if (span.Length == length)
            return span;
        return TryCopy(offset, scratch[..length]) ? scratch[..length] : default;
    }

    /// <summary>Copies bytes from any number of pieces; false where some are missing.</summary>
    public bool TryCopy(ulong offset, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            var span = Span(offset, destination.Length);
            if (span.IsEmpty)
                return false;
            span.CopyTo(destination);
            destination = destination[span.Length..];
            offset += (ulong)span.Length;
        }
        return true;
    }

    /// <summary>True when the file has all of the part. Safe for any values.</summary>
    public bool Holds(ulong offset, ulong length) => _segments?.Holds(offset, length) ?? File.Holds(offset, length);

    public void Dispose() => File.Dispose();
}
