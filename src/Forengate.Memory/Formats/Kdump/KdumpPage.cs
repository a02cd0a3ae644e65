using System.Buffers.Binary;
using System.Numerics;

namespace Forengate.Memory;

/// <summary>The descriptor of one page (struct page_desc): where its bytes lie and how they are packed.</summary>
/// <param name="Offset">In the plain form of the file.</param>
/// <param name="Size">Bytes there.</param>
/// <param name="Codec">As stored: may be nonsense.</param>
internal readonly record struct KdumpPage(ulong Offset, uint Size, KdumpCodec Codec)
{
    public const int DescriptorSize = 24;
    private const int SizeAt = 8;
    private const int FlagsAt = 12;

    /// <summary>The most that a page may take: packers that gain nothing store the page as it is, so even this is generous.</summary>
    public const int LargestSize = 2 * Page.Size;

    public static KdumpPage Parse(ReadOnlySpan<byte> descriptor) => new(
        BinaryPrimitives.ReadUInt64LittleEndian(descriptor),
        BinaryPrimitives.ReadUInt32LittleEndian(descriptor[SizeAt..]),
        (KdumpCodec)BinaryPrimitives.ReadUInt32LittleEndian(descriptor[FlagsAt..]));

    public void Write(Span<byte> descriptor)
    {
        descriptor.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(descriptor, Offset);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor[SizeAt..], Size);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor[FlagsAt..], (uint)Codec);
    }

    /// <summary>True where the bytes lie plain in the file.</summary>
    public bool IsPlain => Codec == KdumpCodec.None && Size == Page.Size;

    /// <summary>True when it says something that can be: one codec that is known, a size that fits.</summary>
    public bool IsSane => IsPlain || ((Codec & ~KdumpCodec.Known) == 0 && BitOperations.IsPow2((uint)Codec) && Size is > 0 and <= LargestSize);

    /// <summary>Unpacks the page.</summary>
    /// <returns>False when it is damaged.</returns>
    public static bool TryDecode(KdumpCodec codec, ReadOnlySpan<byte> packed, Span<byte> page)
    {
        var written = 0;
        var good = codec switch
        {
            KdumpCodec.Zlib => Zlib.TryDecode(packed, page, out written),
            KdumpCodec.Lzo => Lzo1x.TryDecode(packed, page, out written),
            KdumpCodec.Snappy => Snappy.TryDecode(packed, page, out written),
            KdumpCodec.Zstd => Zstd.TryDecode(packed, page, out written),
            _ => false,
        };
        return good && written == page.Length;
    }

    /// <summary>Loads the libraries that the codecs need.</summary>
    /// <exception cref="ImageFormatException">One is not installed.</exception>
    public static void Require(KdumpCodec codecs)
    {
        if (codecs.HasFlag(KdumpCodec.Lzo))
            Lzo1x.Require();
        if (codecs.HasFlag(KdumpCodec.Snappy))
            Snappy.Require();
        if (codecs.HasFlag(KdumpCodec.Zstd))
            Zstd.Require();
    }

    /// <summary>For people: "zlib", "zlib, LZO", "none".</summary>
    public static string Name(KdumpCodec codecs)
    {
        var names = new List<string>();
        Add(KdumpCodec.Zlib, "zlib");
        Add(KdumpCodec.Lzo, "LZO");
        Add(KdumpCodec.Snappy, "Snappy");
        Add(KdumpCodec.Zstd, "zstd");
        return names.Count == 0 ? "none" : string.Join(", ", names);

        void Add(KdumpCodec codec, string name)
        {
            if (codecs.HasFlag(codec))
                names.Add(name);
        }
    }
}
