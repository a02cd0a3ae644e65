using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>Virtual memory wanted in a small dump: pieces that overlap or touch become one, pages that lead nowhere are left out, and no more is taken than there is room for.</summary>
/// <param name="space">The kernel's address space, with the dump's patches in it.</param>
/// <param name="room">Most bytes taken.</param>
internal sealed class MemoryPieces(AddressSpace space, int room)
{
    private readonly SortedDictionary<ulong, ulong> _wanted = [];
    private long _left = room;

    /// <summary>What was wanted and did not fit, in bytes.</summary>
    public ulong Refused { get; private set; }

    /// <summary>Wants memory; only the kernel's half counts, and nothing across its end.</summary>
    public void Want(VirtualAddress address, int length)
    {
        if (length <= 0 || !address.IsKernel || !address.IsCanonical(space.Levels) || !(address + (ulong)length).IsKernel)
            return;
        if (length > _left)
        {
            Refused += (ulong)length;
            return;
        }
        _left -= length;
        var end = address.Value + (ulong)length;
        if (!_wanted.TryGetValue(address.Value, out var known) || known < end)
            _wanted[address.Value] = end;
    }

    /// <summary>What there is of it, ascending.</summary>
    public List<(VirtualAddress Start, byte[] Bytes)> Read()
    {
        var pieces = new List<(VirtualAddress, byte[])>();
        var (start, end) = (0UL, 0UL);
        foreach (var (from, to) in _wanted)
        {
            if (from > end)
            {
                Take(start, end, pieces);
                start = from;
            }
            end = Math.Max(end, to);
        }
        Take(start, end, pieces);
        return pieces;
    }

    private void Take(ulong start, ulong end, List<(VirtualAddress, byte[])> pieces)
    {
        while (start < end)
        {
            var bytes = new byte[end - start];
            var got = space.Read(new VirtualAddress(start), bytes);
            if (got > 0)
                pieces.Add((new VirtualAddress(start), got == bytes.Length ? bytes : bytes[..got]));
            // On behind the page that leads nowhere.
            start = got == bytes.Length ? end : ((start + (ulong)got) & ~Page.OffsetMask) + Page.Size;
        }
    }
}
