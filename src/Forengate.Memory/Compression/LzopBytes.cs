using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>Bytes of an lzop stream by their place in it: the block around them is unpacked when asked for and kept among a bounded number of others. Safe for concurrent reads.</summary>
internal sealed class LzopBytes : MigrationBytes
{
    private const int MostSlots = 1024;
    private const int UsualBlock = 256 << 10;

    private readonly MappedFile _file;
    private readonly List<LzopBlock> _blocks;
    private readonly int _cacheBytes;
    private readonly Lock _lock = new();
    private Slot[]? _slots;

    /// <param name="file">Owned.</param>
    /// <param name="blocks">In the stream's order, without gaps; filled before the first read.</param>
    /// <param name="cacheBytes">Unpacked blocks that are kept.</param>
    public LzopBytes(MappedFile file, List<LzopBlock> blocks, int cacheBytes)
    {
        _file = file;
        _blocks = blocks;
        _cacheBytes = cacheBytes;
    }

    public override int Read(long offset, Span<byte> destination)
    {
        var slots = Volatile.Read(ref _slots) ?? MakeSlots();
        var done = 0;
        while (done < destination.Length && Find(offset + done) is var index and >= 0)
        {
            var block = _blocks[index];
            var slot = slots[index % slots.Length];
            var within = (int)(offset + done - block.Start);
            var count = Math.Min(destination.Length - done, block.Length - within);
            lock (slot)
            {
                if (slot.Block != index && !Unpack(slot, index, block))
                    break;
                slot.Bytes.AsSpan(within, count).CopyTo(destination[done..]);
            }
            done += count;
        }
        return done;
    }

    public override void Dispose() => _file.Dispose();

    /// <summary>As many as the bound allows, were all blocks as large as the largest.</summary>
    private Slot[] MakeSlots()
    {
        lock (_lock)
        {
            if (_slots is not null)
                return _slots;
            var largest = UsualBlock;
            foreach (var block in CollectionsMarshal.AsSpan(_blocks))
                largest = Math.Max(largest, block.Length);
            var slots = new Slot[Math.Clamp(_cacheBytes / largest, 1, MostSlots)];
            for (var i = 0; i < slots.Length; i++)
                slots[i] = new Slot();
            Volatile.Write(ref _slots, slots);
            return slots;
        }
    }

    private int Find(long offset)
    {
        var blocks = CollectionsMarshal.AsSpan(_blocks);
        var (low, high) = (0, blocks.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) >>> 1;
            ref readonly var block = ref blocks[middle];
            if (offset < block.Start)
                high = middle - 1;
            else if (offset >= block.Start + block.Length)
                low = middle + 1;
            else
                return middle;
        }
        return -1;
    }

    private bool Unpack(Slot slot, int index, in LzopBlock block)
    {
        slot.Block = -1;
        if (slot.Bytes.Length < block.Length)
            slot.Bytes = GC.AllocateUninitializedArray<byte>(block.Length);
        _file.CheckLength();
        var source = _file.Span(block.FileOffset, block.Packed);
        var target = slot.Bytes.AsSpan(0, block.Length);
        if (source.Length < block.Packed)
            return false;
        if (block.Packed == block.Length)
            source.CopyTo(target);
        else if (!Lzo1x.TryDecode(source, target, out var written) || written != block.Length)
            return false;
        slot.Block = index;
        return true;
    }

    private sealed class Slot
    {
        public int Block = -1;
        public byte[] Bytes = [];
    }
}
