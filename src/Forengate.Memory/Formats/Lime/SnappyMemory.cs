using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// Memory in Snappy frames, each unpacked when it is first asked for and kept in a bounded cache; what lies plain in the file is read and mapped from there. A frame whose checksum
/// does not fit reads as nothing.
/// </summary>
internal sealed class SnappyMemory : PhysicalMemory
{
    private const int SlotSize = 64 << 10;

    private readonly FileMemory _plain;
    private readonly MappedFile _file;
    private readonly SnappyChunk[] _chunks;
    private readonly PhysicalRange[] _ranges;

    /// <summary>Frame i may lie in slot i modulo their number only: neighbours never push each other out.</summary>
    private readonly Slot[] _slots;

    private int _lastHit;

    /// <param name="plain">Owned; what is neither here nor there is its to tell.</param>
    /// <param name="file">Owned by <paramref name="plain"/>.</param>
    /// <param name="chunks">Ascending, disjoint, whole pages.</param>
    /// <param name="limits">How large the cache may be.</param>
    public SnappyMemory(FileMemory plain, MappedFile file, SnappyChunk[] chunks, ImageLimits limits)
    {
        (_plain, _file, _chunks) = (plain, file, chunks);
        _slots = new Slot[Math.Clamp(limits.CacheBytes / SlotSize, 1, Math.Max(chunks.Length, 1))];
        for (var i = 0; i < _slots.Length; i++)
            _slots[i] = new Slot();
        _ranges = Merge([.. plain.Ranges, .. chunks.Select(chunk => new PhysicalRange(new PhysicalAddress(chunk.Start), (ulong)chunk.Length))]);
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _ranges;

    public override PageState StateOf(PhysicalAddress address) => IndexOf(address.Value) >= 0 ? PageState.Present : _plain.StateOf(address);

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var start = address.PageStart;
        var index = IndexOf(start.Value);
        if (index < 0)
        {
            var run = _plain.RunAt(address, maxLength);
            var next = ~index < _chunks.Length ? _chunks[~index].Start : ulong.MaxValue;
            return next < run.Range.End.Value ? run with { Range = new PhysicalRange(start, next - start.Value) } : run;
        }
        var limit = start.Value + Math.Max((Math.Min(maxLength, 1UL << PhysicalAddress.Bits) + Page.OffsetMask) & ~Page.OffsetMask, Page.Size);
        var end = _chunks[index].End;
        while (end < limit && index + 1 < _chunks.Length && _chunks[index + 1].Start == end)
            end = _chunks[++index].End;
        return new PageRun(new PhysicalRange(start, Math.Min(end, limit) - start.Value), PageState.Present);
    }

    public override void Prefetch(PhysicalAddress address, ulong length) => _plain.Prefetch(address, length);

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength)
    {
        var index = IndexOf(address.Value);
        if (index < 0)
        {
            var mapped = _plain.Map(address, maxLength);
            return ~index < _chunks.Length && _chunks[~index].Start - address.Value < (ulong)mapped.Length ? mapped[..(int)(_chunks[~index].Start - address.Value)] : mapped;
        }
        // Plain frames too have a checksum that must be looked at first: they are read like packed ones.
        return default;
    }

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length)
        {
            var here = new PhysicalAddress(unchecked(address.Value + (ulong)done));
            var rest = destination[done..];
            var index = IndexOf(here.Value);
            int wanted, got;
            if (index < 0)
            {
                var run = _plain.RunAt(here, (ulong)rest.Length + Page.Size);
                var next = ~index < _chunks.Length ? Math.Min(_chunks[~index].Start, run.Range.End.Value) : run.Range.End.Value;
                wanted = (int)Math.Min((ulong)rest.Length, next - here.Value);
                got = _plain.Read(here, rest[..wanted]);
            }
            else
            {
                wanted = (int)Math.Min((ulong)rest.Length, _chunks[index].End - here.Value);
                got = ReadChunk(index, (int)(here.Value - _chunks[index].Start), rest[..wanted]) ? wanted : 0;
            }
            done += got;
            if (got < wanted)
                break;
        }
        return done;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _plain.Dispose();
        base.Dispose(disposing);
    }

    private bool ReadChunk(int index, int offset, Span<byte> destination)
    {
        ref readonly var chunk = ref _chunks[index];
        var slot = _slots[index % _slots.Length];
        // A pass over memory takes whole frames: those go straight to where they are wanted, and the cache stays for who comes back.
        var isPass = offset == 0 && destination.Length == chunk.Unpacked;
        lock (slot)
        {
            if (slot.Chunk == index)
            {
                slot.Bytes!.AsSpan(offset, destination.Length).CopyTo(destination);
                return true;
            }
        }
        if (isPass)
            return Unpack(chunk, destination);
        var buffer = ArrayPool<byte>.Shared.Rent(SlotSize);
        try
        {
            var unpacked = buffer.AsSpan(0, chunk.Unpacked);
            if (!Unpack(chunk, unpacked))
                return false;
            unpacked.Slice(offset, destination.Length).CopyTo(destination);
            lock (slot)
            {
                slot.Bytes ??= GC.AllocateUninitializedArray<byte>(SlotSize);
                unpacked.CopyTo(slot.Bytes);
                slot.Chunk = index;
            }
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private bool Unpack(in SnappyChunk chunk, Span<byte> destination)
    {
        var source = _file.Span((long)chunk.FileOffset, chunk.Packed);
        if (source.Length != chunk.Packed)
            return false;
        if (chunk.IsPlain)
            source.CopyTo(destination);
        else if (!Snappy.TryDecode(source, destination, out var written) || written != chunk.Unpacked)
            return false;
        return IsSound(chunk, destination);
    }

    /// <summary>True when the bytes have the frame's checksum: CRC-32C, turned right by 15 bits plus a constant (framing_format.txt, 3).</summary>
    private static bool IsSound(in SnappyChunk chunk, ReadOnlySpan<byte> unpacked)
    {
        const uint MaskDelta = 0xA282_EAD8;
        var crc = uint.MaxValue;
        var words = MemoryMarshal.Cast<byte, ulong>(unpacked);
        foreach (var word in words)
            crc = BitOperations.Crc32C(crc, word);
        foreach (var value in unpacked[(words.Length * sizeof(ulong))..])
            crc = BitOperations.Crc32C(crc, value);
        return BitOperations.RotateRight(~crc, 15) + MaskDelta == chunk.Checksum;
    }

    /// <summary>Index of the frame that holds the address, else the complement of the index of the next one.</summary>
    private int IndexOf(ulong address)
    {
        var hint = _lastHit;
        if (hint < _chunks.Length && address - _chunks[hint].Start < (ulong)_chunks[hint].Length)
            return hint;
        var (low, high) = (0, _chunks.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            if (address < _chunks[middle].Start)
                high = middle - 1;
            else if (address >= _chunks[middle].End)
                low = middle + 1;
            else
                return _lastHit = middle;
        }
        return ~low;
    }

    private static PhysicalRange[] Merge(List<PhysicalRange> ranges)
    {
        var merged = new List<PhysicalRange>();
        foreach (var range in ranges.OrderBy(range => range.Start))
        {
            if (merged.Count != 0 && merged[^1].End >= range.Start)
                merged[^1] = new PhysicalRange(merged[^1].Start, Math.Max(merged[^1].End.Value, range.End.Value) - merged[^1].Start.Value);
            else
                merged.Add(range);
        }
        return [.. merged];
    }

    private sealed class Slot
    {
        public int Chunk = -1;
        public byte[]? Bytes;
    }
}
