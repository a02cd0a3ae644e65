namespace Forengate.Memory;

/// <summary>How packed streams begin, and what people call them.</summary>
internal static class PackingMagic
{
    private static ReadOnlySpan<byte> Gzip => [0x1F, 0x8B];

    private static ReadOnlySpan<byte> Xz => [0xFD, (byte)'7', (byte)'z', (byte)'X', (byte)'Z', 0];

    private static ReadOnlySpan<byte> Zstd => [0x28, 0xB5, 0x2F, 0xFD];

    /// <summary>The packing that a stream begins with; <see cref="Packing.None"/> where it begins with none that we know.</summary>
    public static Packing Of(ReadOnlySpan<byte> head)
    {
        if (head.StartsWith(Gzip))
            return Packing.Gzip;
        if (head.StartsWith("BZh"u8))
            return Packing.Bzip2;
        if (head.StartsWith(Xz))
            return Packing.Xz;
        if (head.StartsWith(LzopUnpacker.Magic))
            return Packing.Lzop;
        return head.StartsWith(Zstd) ? Packing.Zstd : Packing.None;
    }

    /// <summary>As users and libvirt name it.</summary>
    public static string NameOf(Packing packing) => packing switch
    {
        Packing.Gzip => "gzip",
        Packing.Bzip2 => "bzip2",
        Packing.Xz => "xz",
        Packing.Lzop => "lzop",
        Packing.Zstd => "zstd",
        _ => "none",
    };
}
