using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// The pages last read from a guest that stands still. Walking page tables and lists reads the same few pages again and again, and each read of the process is a system call. Only for
/// memory that does not change: there is no way to tell a page from its older self.
/// </summary>
internal sealed class PageCache
{
    /// <summary>16 MiB when full.</summary>
    private const int Slots = 4096;

    private readonly Slot?[] _slots = new Slot?[Slots];
    private readonly Lock[] _locks = new Lock[64];

    public PageCache()
    {
        for (var i = 0; i < _locks.Length; i++)
            _locks[i] = new Lock();
    }

    public delegate int PageReader(PhysicalAddress page, Span<byte> destination);

    /// <summary>Copies from one page, reading it first where it is not here.</summary>
    /// <returns>False when the page can't be read whole.</returns>
    public bool TryRead(PhysicalAddress address, Span<byte> destination, PageReader read)
    {
        // Neighbours go to different slots, and so do the tables of one level, which often lie a power of two apart.
        var index = (int)((address.Frame ^ (address.Frame >> 12)) % Slots);
        lock (_locks[index % _locks.Length])
        {
            var slot = _slots[index] ??= new Slot();
            if (slot.Frame != address.Frame)
            {
                slot.Frame = ulong.MaxValue;
                if (read(address.PageStart, slot.Bytes) != Page.Size)
                    return false;
                slot.Frame = address.Frame;
            }
            slot.Bytes.AsSpan(address.PageOffset, destination.Length).CopyTo(destination);
            return true;
        }
    }

    private sealed class Slot
    {
        public ulong Frame { get; set; } = ulong.MaxValue;

        public byte[] Bytes { get; } = new byte[Page.Size];
    }
}
