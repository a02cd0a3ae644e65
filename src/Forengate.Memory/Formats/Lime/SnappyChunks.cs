using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// Walks the frames of AVML's compressed blocks (Snappy's framing format, framing_format.txt of google/snappy) without unpacking any: types 0x00 (packed) and 0x01 (plain) carry data
/// behind a checksum, 0xFF begins a stream, 0x80 to 0xFE may be passed over. Behind the frames of a block stand 8 bytes with their size (AVML, src/image.rs).
/// </summary>
internal sealed class SnappyChunks(MappedFile file, ImageLimits limits)
{
    /// <summary>Most that a frame may unpack to.</summary>
    private const int MaxUnpacked = 64 << 10;

    private const int FrameHeaderSize = 4;
    private const int ChecksumSize = 4;
    private const int TrailerSize = 8;

    private const byte Packed = 0x00;
    private const byte Plain = 0x01;
    private const byte FirstSkippable = 0x80;
    private const byte StreamBegin = 0xFF;

    private const int FramesBetweenCancellationChecks = 1 << 14;

    private readonly List<SnappyChunk> _chunks = [];
    private readonly List<FileExtent> _missing = [];

    public int Count => _chunks.Count;

    /// <summary>Memory whose block begins in the file and is not whole.</summary>
    public IReadOnlyList<FileExtent> Missing => _missing;

    /// <summary>Ascending; where two hold the same memory the first in the file has it.</summary>
    public SnappyChunk[] Sorted()
    {
        var sorted = new List<SnappyChunk>(_chunks.Count);
        var reached = 0UL;
        foreach (var chunk in _chunks.OrderBy(chunk => chunk.Start))
        {
            if (chunk.Start < reached)
                continue;
            sorted.Add(chunk);
            reached = chunk.End;
        }
        return [.. sorted];
    }

    /// <summary>Adds the frames of one block.</summary>
    /// <param name="start">Where its memory lies.</param>
    /// <param name="size">Bytes of memory it holds.</param>
    /// <param name="offset">File offset of its first frame; behind its trailer afterwards.</param>
    /// <param name="damage">Told what is wrong.</param>
    /// <param name="cancellation">Ends the work.</param>
    /// <returns>False when the end of the block could not be found: what follows can't be read.</returns>
    public bool AddBlock(PhysicalAddress start, ulong size, ref ulong offset, List<string> damage, CancellationToken cancellation)
    {
        var done = 0UL;
        var frames = 0;
        while (done < size)
        {
            if (++frames % FramesBetweenCancellationChecks == 0)
                cancellation.ThrowIfCancellationRequested();
            if ((long)_chunks.Count * SnappyChunk.IndexCost > limits.IndexBytes)
                throw new ImageFormatException($"the index of '{file.Path}' would take more than {limits.IndexBytes >> 20} MiB; unpack it with avml-convert");
            var fault = AddFrame(start, size, ref offset, ref done);
            if (fault is null)
                continue;
            damage.Add($"the block of memory at {start}: {fault}; 0x{size - done:x} of its 0x{size:x} bytes and all that follows are missing");
            _missing.Add(FileExtent.Without(start + done, size - done, PageState.Missing));
            return false;
        }
        offset += TrailerSize;
        return true;
    }

    /// <summary>What is wrong, as the middle of a sentence; null when nothing is.</summary>
    private string? AddFrame(PhysicalAddress start, ulong size, ref ulong offset, ref ulong done)
    {
        if (!file.Holds(offset, FrameHeaderSize))
            return "the file ends";
        var header = BinaryPrimitives.ReadUInt32LittleEndian(file.Span((long)offset, FrameHeaderSize));
        var (type, length) = ((byte)header, (int)(header >> 8));
        var at = offset + FrameHeaderSize;
        if (!file.Holds(at, (ulong)length))
            return $"the frame at file offset 0x{offset:x} is cut off";
        offset = at + (ulong)length;
        if (type is not (Packed or Plain))
            return type >= FirstSkippable && (type != StreamBegin || file.Span((long)at, length).SequenceEqual("sNaPpY"u8)) ? null : $"the frame at file offset 0x{at - FrameHeaderSize:x} is of unknown type 0x{type:x2}";

        var packed = length - ChecksumSize;
        if (packed <= 0)
            return $"the frame at file offset 0x{at - FrameHeaderSize:x} is too short";
        var data = at + ChecksumSize;
        var unpacked = (ulong)packed;
        if (type == Packed && !TryReadLength(file.Span((long)data, packed), out unpacked))
            unpacked = 0;
        // An end within a page is the block's end only: elsewhere pages would straddle two frames, which AVML never writes.
        var isLast = done + unpacked >= size;
        if (unpacked is 0 or > MaxUnpacked || unpacked > size - done || (unpacked % Page.Size != 0 && !isLast) || (start.Value + done) % Page.Size != 0)
            return $"the frame at file offset 0x{at - FrameHeaderSize:x} does not hold whole pages of it";
        var whole = (int)unpacked & ~(int)Page.OffsetMask;
        if (whole != 0)
        {
            var checksum = BinaryPrimitives.ReadUInt32LittleEndian(file.Span((long)at, ChecksumSize));
            _chunks.Add(new SnappyChunk(start.Value + done, data, whole, (int)unpacked, packed, type == Plain, checksum));
        }
        done += unpacked;
        return null;
    }

    /// <summary>The size that a packed frame says it unpacks to: a number of 7 bits a byte, lowest first.</summary>
    private static bool TryReadLength(ReadOnlySpan<byte> data, out ulong length)
    {
        const int MostBytes = 5;
        length = 0;
        for (var i = 0; i < Math.Min(data.Length, MostBytes); i++)
        {
            length |= (ulong)(data[i] & 0x7F) << (7 * i);
            if (data[i] < 0x80)
                return true;
        }
        return false;
    }
}
