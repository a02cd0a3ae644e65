namespace Forengate.Memory;

/// <summary>Neighbouring pages on their way into a kdump: read and packed by one thread, written by another in their order.</summary>
internal sealed class KdumpBatch
{
    /// <summary>1 MiB of memory: milliseconds of packing, against microseconds to hand it on.</summary>
    public const int MostPages = 256;

    private readonly KdumpCodec _codec;
    private readonly byte[] _plain = new byte[MostPages * Page.Size];
    private readonly byte[] _packed = new byte[MostPages * Page.Size];
    private readonly KdumpPage[] _pages = new KdumpPage[MostPages];
    private int _packedLength;

    public KdumpBatch(KdumpCodec codec) => _codec = codec;

    /// <summary>A page of zeros.</summary>
    public static KdumpPage Zero { get; } = new(0, 0, KdumpCodec.None);

    /// <summary>A page that turned out to have no bytes.</summary>
    public static KdumpPage Unreadable { get; } = new(1, 0, KdumpCodec.None);

    public PhysicalRange Range { get; private set; }

    /// <summary>One a page; offsets count from the beginning of <see cref="Packed"/>.</summary>
    public ReadOnlySpan<KdumpPage> Pages => _pages.AsSpan(0, (int)Range.PageCount);

    public ReadOnlySpan<byte> Packed => _packed.AsSpan(0, _packedLength);

    /// <summary>Reads and packs pages that are present.</summary>
    public void Fill(PhysicalMemory memory, PhysicalRange range)
    {
        Range = range;
        _packedLength = 0;
        for (var done = 0; done < (int)range.Length;)
        {
            var wanted = (int)range.Length - done;
            var bytes = memory.Map(range.Start + (ulong)done, wanted);
            if (bytes.Length < Page.Size)
                bytes = _plain.AsSpan(0, memory.Read(range.Start + (ulong)done, _plain.AsSpan(0, wanted)));
            var whole = bytes.Length / Page.Size;
            for (var i = 0; i < whole; i++)
                _pages[(done / Page.Size) + i] = Pack(bytes.Slice(i * Page.Size, Page.Size));
            if (whole == 0)
                _pages[done / Page.Size] = Unreadable;
            done += Math.Max(whole, 1) * Page.Size;
        }
    }

    private KdumpPage Pack(ReadOnlySpan<byte> page)
    {
        if (ZeroPages.IsZero(page))
            return Zero;
        // A page that does not shrink is stored as it is.
        var room = _packed.AsSpan(_packedLength, Page.Size - 1);
        var length = _codec == KdumpCodec.Zstd ? Zstd.Encode(page, room) : Zlib.Encode(page, room);
        var codec = length == 0 ? KdumpCodec.None : _codec;
        if (length == 0)
        {
            page.CopyTo(_packed.AsSpan(_packedLength));
            length = Page.Size;
        }
        var packed = new KdumpPage((ulong)_packedLength, (uint)length, codec);
        _packedLength += length;
        return packed;
    }
}
