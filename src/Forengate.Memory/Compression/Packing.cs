namespace Forengate.Memory;

/// <summary>How a stream within a file is packed.</summary>
internal enum Packing
{
    None,
    Gzip,
    Bzip2,
    Xz,
    Lzop,
    Zstd,
}
