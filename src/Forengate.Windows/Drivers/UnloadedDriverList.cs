using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// The drivers that Windows remembers having unloaded: a ring of fifty <c>UNLOADED_DRIVERS</c> (no public type table has it; as ReactOS declares it, and confirmed by what debuggers list), which KDBG leads to.
/// </summary>
public static class UnloadedDriverList
{
    /// <summary>MI_UNLOADED_DRIVERS.</summary>
    private const int Entries = 50;

    /// <summary>UNICODE_STRING Name, StartAddress, EndAddress, CurrentTime.</summary>
    private const int EntrySize = 0x28, StartAt = 0x10, EndAt = 0x18;

    /// <summary>Longer names are none: they are file names.</summary>
    private const int MaxNameBytes = 512;

    /// <summary>The newest first; empty where there are none or their memory is missing.</summary>
    /// <param name="kernel">The kernel's address space.</param>
    /// <param name="list"><c>MmUnloadedDrivers</c>: where the pointer to the ring lies.</param>
    /// <param name="last"><c>MmLastUnloadedDriver</c>: where the number of the next entry to be written lies.</param>
    public static IReadOnlyList<TriageUnloadedDriver> Read(AddressSpace kernel, VirtualAddress list, VirtualAddress last)
    {
        var bytes = new byte[Entries * EntrySize];
        if (!kernel.TryReadPointer(list, out var ring) || !ring.IsKernel || !kernel.TryRead(last, out uint next) || !kernel.TryRead(ring, bytes))
            return [];
        var drivers = new List<TriageUnloadedDriver>();
        for (var i = 1; i <= Entries; i++)
        {
            var entry = bytes.AsSpan((int)((next % Entries) + Entries - i) % Entries * EntrySize, EntrySize);
            var start = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(entry[StartAt..]));
            var end = new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(entry[EndAt..]));
            var name = UnicodeString.From(entry);
            if (start.IsKernel && end > start && name is { Length: > 0 and <= MaxNameBytes } && name.Read(kernel) is { Length: > 0 } text)
                drivers.Add(new TriageUnloadedDriver(text, start, end));
        }
        return drivers;
    }
}
