namespace Forengate.Memory;

/// <summary>
/// The bounds that every image reader keeps to: counts, lengths and offsets in a file are lies until they fit. A file that asks for more is refused with a line that names the
/// bound, or read as far as the bound allows and said to be damaged.
/// </summary>
public sealed record ImageLimits
{
    public static ImageLimits Default { get; } = new();

    /// <summary>vCPUs whose registers are read. QEMU stops at 4,096.</summary>
    public int Cpus { get; init; } = 8192;

    /// <summary>RAM blocks, segments with a name, memory regions: what a machine has a handful of.</summary>
    public int Blocks { get; init; } = 4096;

    /// <summary>Runs, extents or segments of memory, where a format has one for every stretch.</summary>
    public int Extents { get; init; } = 1 << 22;

    /// <summary>Bytes of one text or note the file carries: domain XML, device description, CPU notes.</summary>
    public int DocumentBytes { get; init; } = 64 << 20;

    /// <summary>Guest-physical address space that is believed, in bytes: 64 TiB, four times the largest guest that QEMU or Windows supports.</summary>
    public ulong AddressSpace { get; init; } = 1UL << 46;

    /// <summary>Bytes that the index of one image may take in this process; beyond it the file is refused with the figure.</summary>
    public long IndexBytes { get; init; } = 1L << 30;

    /// <summary>Bytes of unpacked pages kept at a time.</summary>
    public int CacheBytes { get; init; } = 64 << 20;

    /// <summary>Bytes that may be spooled to disk for one image that can't be read at random.</summary>
    public long SpoolBytes { get; init; } = 1L << 42;
}
