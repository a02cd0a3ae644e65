namespace Forengate.Memory;

/// <summary>
/// Pages by frame number, for what is slow to read or to unpack. Bounded; the page used longest ago goes first, roughly. Safe for concurrent use: parts of it have locks of their own.
/// </summary>
internal sealed class PageCache
{
    private const int ShardBits = 4;

    private readonly Shard[] _shards = new Shard[1 << ShardBits];

    /// <param name="capacity">Bytes of pages kept; at least a page for each part is.</param>
    public PageCache(int capacity)
    {
        for (var i = 0; i < _shards.Length; i++)
            _shards[i] = new Shard(Math.Max(capacity / Page.Size / _shards.Length, 1));
    }

    /// <summary>Copies part of a page if it is here; zeros where the page is known and has no bytes.</summary>
    public bool TryCopy(ulong frame, int offset, Span<byte> destination, out PageState state) => ShardOf(frame).TryCopy(frame, offset, destination, out state);

    /// <summary>Keeps a page, unless it is here already.</summary>
    public void Put(ulong frame, ReadOnlySpan<byte> page, PageState state) => ShardOf(frame).Put(frame, page, state);

    private Shard ShardOf(ulong frame) => _shards[(int)((frame * 0x9E37_79B9_7F4A_7C15UL) >> (64 - ShardBits))];

    /// <summary>A part of the cache under a lock of its own: slots in a ring, each with a mark that a use sets and the eviction hand clears.</summary>
    private sealed class Shard(int slots)
    {
        private readonly Lock _lock = new();
        private readonly Dictionary<ulong, int> _slotOf = [];
        private readonly List<Slot> _slots = [];
        private int _hand;

        public bool TryCopy(ulong frame, int offset, Span<byte> destination, out PageState state)
        {
            lock (_lock)
            {
                state = PageState.Missing;
                if (!_slotOf.TryGetValue(frame, out var index))
                    return false;
                var slot = _slots[index];
                slot.Used = true;
                state = slot.State;
                if (slot.State == PageState.Present)
                    slot.Bytes.AsSpan(offset, destination.Length).CopyTo(destination);
                else
                    destination.Clear();
                return true;
            }
        }

        public void Put(ulong frame, ReadOnlySpan<byte> page, PageState state)
        {
            lock (_lock)
            {
                if (_slotOf.ContainsKey(frame))
                    return;
                Slot slot;
                if (_slots.Count < slots)
                {
                    slot = new Slot();
                    _slotOf[frame] = _slots.Count;
                    _slots.Add(slot);
                }
                else
                {
                    for (; _slots[_hand].Used; _hand = (_hand + 1) % slots)
                        _slots[_hand].Used = false;
                    slot = _slots[_hand];
                    _slotOf.Remove(slot.Frame);
                    _slotOf[frame] = _hand;
                    _hand = (_hand + 1) % slots;
                }
                slot.Frame = frame;
                slot.State = state;
                slot.Used = true;
                if (state == PageState.Present)
                    page.CopyTo(slot.Bytes);
            }
        }
    }

    private sealed class Slot
    {
        public readonly byte[] Bytes = new byte[Page.Size];
        public ulong Frame;
        public PageState State;
        public bool Used;
    }
}
