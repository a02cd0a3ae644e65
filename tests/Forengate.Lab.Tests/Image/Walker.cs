using System.Buffers.Binary;
using Forengate.Lab.Machine;

namespace Forengate.Lab.Tests.Image;

/// <summary>Reads a plan's memory and walks its page tables, with nothing of the builder in it: Intel SDM vol. 3A, 4.5.4.</summary>
internal sealed class Walker(BootPlan plan)
{
    private readonly MemorySegment[] _segments = [.. plan.Segments.OrderBy(s => s.Address)];

    public byte Physical(ulong address)
    {
        foreach (var segment in _segments)
        {
            if (address >= segment.Address && address - segment.Address < (ulong)segment.Bytes.Length)
                return segment.Bytes.Span[(int)(address - segment.Address)];
        }
        return 0;
    }

    public ulong PhysicalU64(ulong address)
    {
        foreach (var segment in _segments)
        {
            if (address >= segment.Address && address - segment.Address + 8 <= (ulong)segment.Bytes.Length)
                return BinaryPrimitives.ReadUInt64LittleEndian(segment.Bytes.Span[(int)(address - segment.Address)..]);
        }
        return 0;
    }

    public ulong? Walk(ulong cr3, ulong va)
    {
        // CR4.LA57 adds a level above; addresses are then sign-extended from bit 56.
        var five = (plan.Cpus[0].Cr4 & 1 << 12) != 0;
        if ((long)va >> (five ? 56 : 47) is not (0 or -1))
            return null;
        var table = cr3 & 0x000FFFFFFFFFF000;
        foreach (var shift in five ? [48, 39, 30, 21, 12] : new[] { 39, 30, 21, 12 })
        {
            var entry = PhysicalU64(table + (va >> shift & 0x1FF) * 8);
            if ((entry & 1) == 0)
                return null;
            var frame = entry & 0x000FFFFFFFFFF000;
            if (shift is 30 or 21 && (entry & 0x80) != 0 || shift == 12)
                return (frame & ~((1UL << shift) - 1)) + (va & ((1UL << shift) - 1));
            table = frame;
        }
        return null;
    }

    public byte[] Read(ulong cr3, ulong va, int length)
    {
        var bytes = new byte[length];
        for (var i = 0; i < length; i++)
            bytes[i] = Physical(Walk(cr3, va + (ulong)i) ?? throw new Xunit.Sdk.XunitException($"0x{va + (ulong)i:x} is not mapped"));
        return bytes;
    }

    public ulong U64(ulong cr3, ulong va) => BinaryPrimitives.ReadUInt64LittleEndian(Read(cr3, va, 8));

    /// <summary>Entries of a list in its order; fails if it does not close, or reads otherwise backwards.</summary>
    public IReadOnlyList<ulong> List(ulong cr3, ulong head)
    {
        var forward = Follow(cr3, head, 0);
        var backward = Follow(cr3, head, 8);
        backward.Reverse();
        Assert.Equal(forward, backward);
        return forward;
    }

    private List<ulong> Follow(ulong cr3, ulong head, ulong link)
    {
        var entries = new List<ulong>();
        for (var at = U64(cr3, head + link); at != head; at = U64(cr3, at + link))
        {
            entries.Add(at);
            Assert.True(entries.Count < 100_000, $"the list at 0x{head:x} does not close");
        }
        return entries;
    }
}
