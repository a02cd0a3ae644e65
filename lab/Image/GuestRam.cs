using System.Buffers.Binary;
using Forengate.Lab.Machine;

namespace Forengate.Lab.Image;

/// <summary>
/// Guest-physical memory while it is being laid out: [0, low size) and from 4 GiB on. Pages never written stay zero and cost nothing.
/// </summary>
internal sealed class GuestRam
{
    public const int PageSize = 0x1000;
    public const ulong HighBase = 0x1_0000_0000;
    private const ulong ChunkSize = 0x1000_0000;
    // Large arrays come from the system as untouched zero pages: only what is written takes memory.
    private readonly byte[][] _chunks;
    private readonly ulong[] _written;

    public GuestRam(ulong size, ulong lowSize)
    {
        Size = size;
        LowSize = lowSize;
        _chunks = new byte[(size + ChunkSize - 1) / ChunkSize][];
        for (var i = 0; i < _chunks.Length; i++)
            _chunks[i] = new byte[Math.Min(ChunkSize, size - (ulong)i * ChunkSize)];
        _written = new ulong[(size / PageSize + 63) / 64];
    }

    public ulong Size { get; }
    public ulong LowSize { get; }
    public ulong HighSize => Size - LowSize;

    public bool Contains(ulong address, ulong length) =>
        address < LowSize ? length <= LowSize - address : address >= HighBase && address - HighBase < HighSize && length <= HighSize - (address - HighBase);

    /// <summary>Place of a page among all of RAM, holes left out.</summary>
    public int PageIndex(ulong address) => (int)(Offset(address, 1) / PageSize);

    /// <summary>Bytes to read, all in one page.</summary>
    public ReadOnlySpan<byte> Read(ulong address, int length) => Slice(Offset(address, length), length).Span;

    public ulong ReadU64(ulong address) => BinaryPrimitives.ReadUInt64LittleEndian(Read(address, 8));

    public void Write(ulong address, ReadOnlySpan<byte> bytes) => bytes.CopyTo(Writable(address, bytes.Length));

    public void WriteU64(ulong address, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Writable(address, 8), value);

    /// <summary>Bytes to write, all in one page.</summary>
    public Span<byte> Writable(ulong address, int length)
    {
        var offset = Offset(address, length);
        var page = offset / PageSize;
        _written[page / 64] |= 1UL << (int)(page % 64);
        return _chunks[offset / ChunkSize].AsSpan((int)(offset % ChunkSize), length);
    }

    /// <summary>Whether anything was ever written to the page at an address.</summary>
    public bool IsWritten(ulong address)
    {
        var page = Offset(address, 1) / PageSize;
        return (_written[page / 64] >> (int)(page % 64) & 1) != 0;
    }

    /// <summary>The written pages as few runs: gaps of zero pages are taken in until no more than <paramref name="most"/> runs are left.</summary>
    public IReadOnlyList<MemorySegment> Segments(int most)
    {
        var runs = new List<(ulong First, ulong End)>();
        for (ulong page = 0; page < Size / PageSize; page++)
        {
            if (_written[page / 64] == 0)
            {
                page |= 63;
                continue;
            }
            if ((_written[page / 64] >> (int)(page % 64) & 1) == 0)
                continue;
            if (runs.Count > 0 && runs[^1].End == page && SameArea(runs[^1].First, page))
                runs[^1] = (runs[^1].First, page + 1);
            else
                runs.Add((page, page + 1));
        }
        for (ulong gap = 4; runs.Count > most; gap *= 2)
        {
            var merged = new List<(ulong First, ulong End)>();
            foreach (var run in runs)
            {
                if (merged.Count > 0 && run.First - merged[^1].End <= gap && SameArea(merged[^1].First, run.First))
                    merged[^1] = (merged[^1].First, run.End);
                else
                    merged.Add(run);
            }
            if (merged.Count == runs.Count && gap > Size)
                break;
            runs = merged;
        }
        const ulong chunk = ChunkSize / PageSize;
        var segments = new List<MemorySegment>();
        foreach (var (first, end) in runs)
        {
            for (var start = first; start < end;)
            {
                var next = Math.Min(end, (start / chunk + 1) * chunk);
                segments.Add(new MemorySegment(Address(start * PageSize), Slice(start * PageSize, (int)((next - start) * PageSize))));
                start = next;
            }
        }
        return segments;
    }

    /// <summary>Whether two pages lie in one piece of RAM: a PC has holes below 1 MiB and below 4 GiB.</summary>
    private bool SameArea(ulong page, ulong other) => (page < 0x100) == (other < 0x100) && (page < LowSize / PageSize) == (other < LowSize / PageSize);

    private ulong Address(ulong offset) => offset < LowSize ? offset : HighBase + (offset - LowSize);

    private ulong Offset(ulong address, int length)
    {
        if (!Contains(address, (ulong)length))
            throw new ArgumentOutOfRangeException(nameof(address), $"no RAM at 0x{address:x}, {length} bytes");
        return address < LowSize ? address : address - HighBase + LowSize;
    }

    private ReadOnlyMemory<byte> Slice(ulong offset, int length) => _chunks[offset / ChunkSize].AsMemory((int)(offset % ChunkSize), length);
}
