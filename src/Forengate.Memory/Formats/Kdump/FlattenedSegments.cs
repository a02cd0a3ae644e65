using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// The flattened form of a dump, which makedumpfile and QEMU write to pipes: pieces of the real file in the order they were made, each with its place in front. The real file is never put
/// together: this is the index of the pieces.
/// </summary>
/// <remarks>
/// makedumpfile, IMPLEMENTATION and <c>makedumpfile.h</c> (struct makedumpfile_header, makedumpfile_data_header): all numbers big-endian. Pieces may overlap; what was written later wins, as it would in a file.
/// </remarks>
internal sealed class FlattenedSegments
{
    public const int HeaderSize = 4096;
    public const int SegmentHeaderSize = 16;
    public const long Type = 1;
    public const long Version = 1;

    /// <summary>Where a segment's place would be, at the end of the last one.</summary>
    public const long EndMark = -1;

    private const int TypeAt = 16;
    private const int VersionAt = 24;
    private const int SizeAt = 8;
    private const int BytesPerSegment = 24;
    private const int SegmentsBetweenChecks = 1 << 14;

    private readonly Segment[] _segments;
    private readonly ulong _gapless;
    private int _lastHit;

    private FlattenedSegments(Segment[] segments)
    {
        _segments = segments;
        Length = segments.Length == 0 ? 0 : segments[^1].End;
        for (var i = 1; i < segments.Length; i++)
        {
            if (segments[i].Start != segments[i - 1].End)
                _gapless = segments[i].Start;
        }
    }

    public static ReadOnlySpan<byte> Signature => "makedumpfile\0\0\0\0"u8;

    /// <summary>Size of the file that the pieces make.</summary>
    public ulong Length { get; }

    public int Count => _segments.Length;

    /// <summary>Reads the places of all pieces.</summary>
    /// <param name="file">Begins with <see cref="Signature"/>.</param>
    /// <param name="options">Bounds and whom to tell.</param>
    /// <param name="damage">Told where the pieces end too early.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="ImageFormatException">Not this kind of file, or more pieces than the limit.</exception>
    public static FlattenedSegments Read(MappedFile file, ImageOpenOptions options, List<string> damage, CancellationToken cancellation)
    {
        var head = file.Span(0, HeaderSize);
        if (head.Length < VersionAt + sizeof(long))
            throw new ImageFormatException($"'{file.Path}' is a flattened dump that is cut off within its header");
        var (type, version) = (BinaryPrimitives.ReadInt64BigEndian(head[TypeAt..]), BinaryPrimitives.ReadInt64BigEndian(head[VersionAt..]));
        if (type != Type || version != Version)
            throw new ImageFormatException($"'{file.Path}' is a flattened dump of type {type}, version {version}, which is not known; makedumpfile -R makes a plain dump of it");

        var segments = new List<Segment>();
        var most = options.Limits.IndexBytes / BytesPerSegment;
        var at = (ulong)HeaderSize;
        while (true)
        {
            if (segments.Count % SegmentsBetweenChecks == 0)
            {
                cancellation.ThrowIfCancellationRequested();
                options.Progress?.Report(new ImageOpenProgress("indexing", (long)Math.Min(at, (ulong)file.Length), file.Length));
            }
            if (!file.TryRead(at, out ulong rawStart) || !file.TryRead(at + SizeAt, out ulong rawSize))
            {
                damage.Add($"the file ends at 0x{file.Length:x} without the mark that says it is whole: it was cut off, or is still being written");
                break;
            }
            var (start, size) = (BinaryPrimitives.ReverseEndianness((long)rawStart), BinaryPrimitives.ReverseEndianness((long)rawSize));
            if (start == EndMark)
                break;
            if (start < 0 || size <= 0 || start > long.MaxValue - size)
            {
                damage.Add($"the piece at 0x{at:x} of the file claims {size} bytes at {start}: nothing from there on was read");
                break;
            }
            if (segments.Count >= most)
                throw new ImageFormatException($"'{file.Path}' is a flattened dump of more than {most} pieces; makedumpfile -R makes a plain dump of it");
            at += SegmentHeaderSize;
            var there = Math.Min((ulong)size, (ulong)file.Length - at);
            if (there != 0)
                segments.Add(new Segment((ulong)start, (ulong)start + there, at));
            if (there != (ulong)size)
            {
                damage.Add($"the file is cut off at 0x{file.Length:x}, within one of its pieces");
                break;
            }
            at += (ulong)size;
        }
        return new FlattenedSegments(InOrder(segments));
    }

    /// <summary>Fills the block that a flattened file begins with.</summary>
    public static void WriteHeader(Span<byte> block)
    {
        block.Clear();
        Signature.CopyTo(block);
        BinaryPrimitives.WriteInt64BigEndian(block[TypeAt..], Type);
        BinaryPrimitives.WriteInt64BigEndian(block[VersionAt..], Version);
    }

    /// <summary>Where in the flattened file a byte of the real one lies, and how many follow it there; 0 where no piece has it.</summary>
    public ulong Find(ulong offset, out ulong position)
    {
        // Reads come in clusters; threads may overwrite each other's hint, which costs a search and nothing else.
        var hint = _lastHit;
        var index = hint < _segments.Length && offset >= _segments[hint].Start && offset < _segments[hint].End ? hint : Search(offset);
        if (index < 0)
        {
            position = 0;
            return 0;
        }
        ref readonly var segment = ref _segments[index];
        position = segment.Position + (offset - segment.Start);
        return segment.End - offset;
    }

    /// <summary>True when pieces have all of it.</summary>
    public bool Holds(ulong offset, ulong length)
    {
        if (offset > Length || length > Length - offset)
            return false;
        if (offset >= _gapless)
            return true;
        for (ulong done = 0; done < length;)
        {
            var count = Find(offset + done, out _);
            if (count == 0)
                return false;
            done += Math.Min(count, length - done);
        }
        return true;
    }

    private int Search(ulong offset)
    {
        var (low, high) = (0, _segments.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if (offset < _segments[middle].Start)
                high = middle - 1;
            else if (offset >= _segments[middle].End)
                low = middle + 1;
            else
                return _lastHit = middle;
        }
        return -1;
    }

    /// <summary>Sorted by place and disjoint, later pieces before earlier ones.</summary>
    private static Segment[] InOrder(List<Segment> written)
    {
        Segment[] sorted = [.. written.OrderBy(segment => segment.Start)];
        var overlaps = false;
        for (var i = 1; i < sorted.Length && !overlaps; i++)
            overlaps = sorted[i].Start < sorted[i - 1].End;
        return overlaps ? WithoutOverlaps(sorted) : sorted;
    }

    private static Segment[] WithoutOverlaps(Segment[] sorted)
    {
        // A sweep: of the pieces that cover a place the one that lies furthest back in the file wins. Each piece begins or ends at most one stretch, so the result is at most twice as long.
        var result = new List<Segment>(sorted.Length);
        var covering = new PriorityQueue<Segment, ulong>();
        var next = 0;
        var at = 0UL;
        while (next < sorted.Length || covering.Count != 0)
        {
            while (covering.TryPeek(out var over, out _) && over.End <= at)
                covering.Dequeue();
            if (covering.Count == 0)
            {
                if (next == sorted.Length)
                    break;
                at = Math.Max(at, sorted[next].Start);
            }
            for (; next < sorted.Length && sorted[next].Start <= at; next++)
            {
                if (sorted[next].End > at)
                    covering.Enqueue(sorted[next], ulong.MaxValue - sorted[next].Position);
            }
            if (!covering.TryPeek(out var top, out _))
                continue;
            var end = next < sorted.Length ? Math.Min(top.End, sorted[next].Start) : top.End;
            result.Add(new Segment(at, end, top.Position + (at - top.Start)));
            at = end;
        }
        return [.. result];
    }

    private readonly record struct Segment(ulong Start, ulong End, ulong Position);
}
