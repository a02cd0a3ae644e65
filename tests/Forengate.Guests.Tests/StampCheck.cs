using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Guests.Tests;

/// <summary>Judges whether memory with the bare guest's stamps is of one instant.</summary>
internal static class StampCheck
{
    /// <summary>Number of stamped pages that don't agree with the newest stamp.</summary>
    public static int Disagreeing(PhysicalMemory memory)
    {
        var stamps = new ulong[BareGuest.FieldPages];
        for (var i = 0; i < stamps.Length; i++)
            Assert.True(memory.TryRead(new PhysicalAddress(BareGuest.Field + (ulong)i * Page.Size), out stamps[i]));
        var newest = stamps.Max();
        var wrong = 0;
        for (var i = 0; i < stamps.Length; i++)
        {
            // The newest stamp that this page may hold when the counter is 'newest'.
            var expected = newest - ((newest - (ulong)i) % BareGuest.FieldPages);
            if (stamps[i] != expected)
                wrong++;
        }
        return wrong;
    }

    public static ulong Counter(PhysicalMemory memory)
    {
        Span<byte> bytes = stackalloc byte[8];
        Assert.True(memory.TryRead(new PhysicalAddress(BareGuest.CounterAddress), bytes));
        return BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }
}
