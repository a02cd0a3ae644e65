namespace Forengate.Memory;

/// <summary>How a page is packed: the flags of its descriptor, and of the header's status (makedumpfile, <c>diskdump_mod.h</c>, DUMP_DH_COMPRESSED_*).</summary>
[Flags]
internal enum KdumpCodec : uint
{
    None = 0,
    Zlib = 0x1,
    Lzo = 0x2,
    Snappy = 0x4,
    Zstd = 0x20,

    /// <summary>All that are known.</summary>
    Known = Zlib | Lzo | Snappy | Zstd,
}
