using System.Buffers.Binary;

namespace Forengate.Memory;

/// <summary>
/// Blocks of virtio-mem devices. From QEMU 8.0 on a section of its own tells where they lie; before, the same fields stand at the end of the device's state, which the description does
/// not take apart (QEMU, hw/virtio/virtio-mem.c).
/// </summary>
internal static class VirtioMemory
{
    private const string EarlySection = "/virtio-mem-device-early";
    private const string Section = "/virtio-mem";

    /// <summary>The smallest block that QEMU lets a virtio-mem device have.</summary>
    private const ulong LeastBlock = 1 << 20;

    /// <summary>True for a block of a virtio-mem device: it is named after the device's place, as the device's section is.</summary>
    public static bool IsOne(MigrationStream stream, MigrationBlock block) => SectionOf(stream, block, EarlySection) is not null || SectionOf(stream, block, Section) is not null;

    /// <summary>Where the device lies, as its state has it; null where that can't be read.</summary>
    public static ulong? AddressOf(MigrationStream stream, MigrationBlock block)
    {
        if (SectionOf(stream, block, EarlySection) is { } early && stream.Descriptions?.Fields(early.Name, early.Instance) is { } node)
        {
            var checks = new DeviceFields(node, early.Data).Struct("tmp");
            return checks?.Number("region_size") == block.Length ? checks?.Number("addr") : null;
        }
        return SectionOf(stream, block, Section) is { } section ? Search(section.Data.Span, block.Length) : null;
    }

    /// <summary>Looks for address, size of the region, size of a block: the second is the RAM block's length, the third divides the other two. One place alone must fit.</summary>
    private static ulong? Search(ReadOnlySpan<byte> state, ulong length)
    {
        Span<byte> wanted = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(wanted, length);
        ulong? found = null;
        for (var at = sizeof(ulong); at + (2 * sizeof(ulong)) <= state.Length; at++)
        {
            if (!state.Slice(at, sizeof(ulong)).SequenceEqual(wanted))
                continue;
            var address = BinaryPrimitives.ReadUInt64BigEndian(state[(at - sizeof(ulong))..]);
            var block = BinaryPrimitives.ReadUInt64BigEndian(state[(at + sizeof(ulong))..]);
            if (!ulong.IsPow2(block) || block < LeastBlock || length % block != 0 || address % block != 0 || address < RamSplit.FourGiB || address >> PhysicalAddress.Bits != 0)
                continue;
            if (found is not null && found != address)
                return null;
            found = address;
        }
        return found;
    }

    private static DeviceSection? SectionOf(MigrationStream stream, MigrationBlock block, string suffix)
    {
        var slash = block.Name.LastIndexOf('/');
        if (slash <= 0)
            return null;
        foreach (var device in stream.Devices)
        {
            if (device.Name.Length == slash + suffix.Length && device.Name.AsSpan(0, slash).SequenceEqual(block.Name.AsSpan(0, slash)) && device.Name.EndsWith(suffix, StringComparison.Ordinal))
                return device;
        }
        return null;
    }
}
