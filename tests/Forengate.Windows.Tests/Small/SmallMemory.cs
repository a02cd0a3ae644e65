using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows.Tests;

/// <summary>A few megabytes of guest memory made by hand: contiguous from zero, with page tables that grow as pages are mapped.</summary>
internal sealed class SmallMemory : PhysicalMemory
{
    public const ulong Root = 0x1000;

    private readonly byte[] _bytes;
    private ulong _nextTable = 0x2000;

    public SmallMemory(int size = 4 << 20)
    {
        _bytes = new byte[size];
        Ranges = [new PhysicalRange(default, (ulong)size)];
    }

    public override IReadOnlyList<PhysicalRange> Ranges { get; }

    public Span<byte> Bytes => _bytes;

    public AddressSpace Space => new WindowsAddressSpace(this, Root);

    public override PageState StateOf(PhysicalAddress address) => address.Value < (ulong)_bytes.Length ? PageState.Present : PageState.Missing;

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        if (address.Value >= (ulong)_bytes.Length)
            return 0;
        var length = Math.Min(destination.Length, _bytes.Length - (int)address.Value);
        _bytes.AsSpan((int)address.Value, length).CopyTo(destination);
        return length;
    }

    public override ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) =>
        address.Value >= (ulong)_bytes.Length ? default : _bytes.AsSpan((int)address.Value, Math.Min(maxLength, _bytes.Length - (int)address.Value));

    public void Put(ulong physical, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(_bytes.AsSpan((int)physical), value);

    /// <summary>Maps one page with the given entry bits (present and writable unless told otherwise).</summary>
    public void Map(ulong virtualAddress, ulong physical, ulong flags = 3)
    {
        var table = Root;
        for (var shift = 39; shift > 12; shift -= 9)
        {
            var slot = table + ((virtualAddress >> shift & 511) * 8);
            var entry = BinaryPrimitives.ReadUInt64LittleEndian(_bytes.AsSpan((int)slot));
            if (entry == 0)
            {
                entry = _nextTable | 7;
                _nextTable += 0x1000;
                Put(slot, entry);
            }
            table = entry & 0xF_FFFF_FFFF_F000;
        }
        Put(table + ((virtualAddress >> 12 & 511) * 8), physical | flags);
    }

    /// <summary>Writes a LIST_ENTRY at a physical address.</summary>
    public void PutLinks(ulong physical, ulong flink, ulong blink)
    {
        Put(physical, flink);
        Put(physical + 8, blink);
    }
}
