using System.Buffers.Binary;
using Forengate.Memory.Tests.Compression;

namespace Forengate.Memory.Tests.Kdump;

/// <summary>How the builder packs a page.</summary>
internal enum Packing
{
    Plain = 0,
    Zlib = 1,
    Lzo = 2,
    Snappy = 4,
    Zstd = 0x20,
}

/// <summary>
/// Writes kdump files by hand, good ones and such as no program writes, after makedumpfile's diskdump_mod.h and not after the code that reads them. Every structure is laid out in 64-bit or
/// i386 form.
/// </summary>
internal sealed class KdumpBuilder(bool is64 = true)
{
    private readonly SortedDictionary<ulong, (byte[]? Data, Packing Packing)> _pages = [];

    public int Version { get; set; } = 6;

    public uint BlockSize { get; set; } = 4096;

    public string Machine { get; set; } = "x86_64";

    public string System { get; set; } = "";

    public uint Status { get; set; } = 1;

    public ulong Frames { get; set; }

    public byte[] Notes { get; set; } = [];

    public (ulong Start, ulong End)? Split { get; set; }

    public bool OneBitmap { get; set; }

    public uint Seconds { get; set; }

    /// <summary>Where the zeros that pages share lie: the first page of data, as QEMU has it.</summary>
    public bool SharesZeros { get; set; } = true;

    public KdumpBuilder Page(ulong frame, byte[] data, Packing packing = Packing.Zlib)
    {
        _pages[frame] = (data, packing);
        Frames = Math.Max(Frames, frame + 1);
        return this;
    }

    public KdumpBuilder Excluded(ulong frame)
    {
        _pages[frame] = (null, Packing.Plain);
        Frames = Math.Max(Frames, frame + 1);
        return this;
    }

    public byte[] Build()
    {
        var word = is64 ? 8 : 4;
        var subSize = is64 ? 104 : 80;
        var subBlocks = (uint)((subSize + Notes.Length + BlockSize - 1) / BlockSize);
        var oneBlocks = (uint)(((Frames + 7) / 8 + BlockSize - 1) / BlockSize);
        var bitmapAt = (1 + subBlocks) * BlockSize;
        var bitmapBlocks = OneBitmap ? oneBlocks : 2 * oneBlocks;
        var descriptorsAt = bitmapAt + (bitmapBlocks * BlockSize);
        var dumped = _pages.Where(page => page.Value.Data is not null && (Split is not { } split || (page.Key >= split.Start && page.Key < split.End))).ToArray();
        var file = new MemoryStream();

        var head = new byte[BlockSize];
        "KDUMP   "u8.CopyTo(head);
        U32(head, 8, (uint)Version);
        global::System.Text.Encoding.ASCII.GetBytes(System, head.AsSpan(12));
        global::System.Text.Encoding.ASCII.GetBytes(Machine, head.AsSpan(12 + 260));
        U32(head, is64 ? 408 : 404, Seconds);
        var at = is64 ? 424 : 412;
        foreach (var value in new uint[] { Status, BlockSize, subBlocks, bitmapBlocks, (uint)Frames, 0, 0, 0, 0, 1 })
        {
            U32(head, at, value);
            at += 4;
        }
        file.Write(head);

        var sub = new byte[subBlocks * BlockSize];
        var fields = new MemoryStream();
        Word(0x100_0000);
        fields.Write(BitConverter.GetBytes(1));
        fields.Write(BitConverter.GetBytes(Split is null ? 0 : 1));
        Word(Split?.Start ?? 0);
        Word(Split?.End ?? 0);
        foreach (var (offset, size) in new (ulong, ulong)[] { (0, 0), (Notes.Length == 0 ? 0 : BlockSize + (ulong)subSize, (ulong)Notes.Length), (0, 0) })
        {
            fields.Write(BitConverter.GetBytes(offset));
            Word(size);
        }
        fields.Write(BitConverter.GetBytes(Split?.Start ?? 0));
        fields.Write(BitConverter.GetBytes(Split?.End ?? 0));
        fields.Write(BitConverter.GetBytes(Frames));
        Assert.Equal(subSize, fields.Length);
        // Older programs end their structure earlier.
        fields.ToArray().AsSpan(0, Version >= 6 ? subSize : is64 ? 80 : 56).CopyTo(sub);
        Notes.CopyTo(sub, subSize);
        file.Write(sub);

        if (!OneBitmap)
            file.Write(Bitmap(_pages.Keys, oneBlocks));
        file.Write(Bitmap(_pages.Where(page => page.Value.Data is not null).Select(page => page.Key), oneBlocks));

        var data = new MemoryStream();
        var dataAt = descriptorsAt + (24 * (uint)dumped.Length);
        if (SharesZeros)
            data.Write(new byte[BlockSize]);
        foreach (var (_, (bytes, packing)) in dumped)
        {
            var descriptor = new byte[24];
            var isZero = SharesZeros && !bytes.AsSpan().ContainsAnyExcept((byte)0);
            var packed = isZero ? bytes! : Pack(bytes!, packing);
            // No program writes more than a page for a page, and libkdumpfile has no room for it.
            Assert.InRange(packed.Length, 1, 4096);
            BinaryPrimitives.WriteUInt64LittleEndian(descriptor, dataAt + (isZero ? 0 : (ulong)data.Length));
            U32(descriptor, 8, (uint)packed.Length);
            U32(descriptor, 12, isZero ? 0 : (uint)packing);
            file.Write(descriptor);
            if (!isZero)
                data.Write(packed);
        }
        file.Write(data.ToArray());
        return file.ToArray();

        void Word(ulong value) => fields.Write(BitConverter.GetBytes(value).AsSpan(0, word));
    }

    /// <summary>The flattened form: pieces of up to so many bytes, in an order that is not that of the file.</summary>
    public static byte[] Flatten(byte[] plain, int piece = 1500, int seed = 1, bool endMark = true)
    {
        var file = new MemoryStream();
        var head = new byte[4096];
        "makedumpfile"u8.CopyTo(head);
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(16), 1);
        BinaryPrimitives.WriteInt64BigEndian(head.AsSpan(24), 1);
        file.Write(head);
        var offsets = Enumerable.Range(0, (plain.Length + piece - 1) / piece).Select(i => i * piece).ToArray();
        new Random(seed).Shuffle(offsets);
        foreach (var offset in offsets)
            AddPiece(file, offset, plain.AsSpan(offset, Math.Min(piece, plain.Length - offset)));
        if (endMark)
            AddPlace(file, -1, -1);
        return file.ToArray();
    }

    public static void AddPiece(Stream file, long offset, ReadOnlySpan<byte> bytes)
    {
        AddPlace(file, offset, bytes.Length);
        file.Write(bytes);
    }

    public static void AddPlace(Stream file, long offset, long size)
    {
        var place = new byte[16];
        BinaryPrimitives.WriteInt64BigEndian(place, offset);
        BinaryPrimitives.WriteInt64BigEndian(place.AsSpan(8), size);
        file.Write(place);
    }

    /// <summary>A page that every packer makes smaller and that is like no other: 64 words of 16 bytes, in a random order.</summary>
    public static byte[] Text(int seed)
    {
        var random = new Random(seed);
        var words = new byte[1024];
        random.NextBytes(words);
        var page = new byte[4096];
        for (var at = 0; at < page.Length; at += 16)
            words.AsSpan(16 * random.Next(64), 16).CopyTo(page.AsSpan(at));
        return page;
    }

    public static byte[] Noise(int seed)
    {
        var page = new byte[4096];
        new Random(seed).NextBytes(page);
        return page;
    }

    private byte[] Bitmap(IEnumerable<ulong> frames, uint blocks)
    {
        var bits = new byte[blocks * BlockSize];
        foreach (var frame in frames)
            bits[frame / 8] |= (byte)(1 << (int)(frame % 8));
        return bits;
    }

    private static byte[] Pack(byte[] page, Packing packing)
    {
        var room = new byte[2 * page.Length];
        switch (packing)
        {
            case Packing.Zlib:
                var zlib = new MemoryStream();
                using (var stream = new global::System.IO.Compression.ZLibStream(zlib, global::System.IO.Compression.CompressionLevel.Optimal, leaveOpen: true))
                    stream.Write(page);
                return zlib.ToArray();
            case Packing.Lzo:
                return NativePackers.Lzo(page);
            case Packing.Snappy:
                return NativePackers.Snappy(page);
            case Packing.Zstd:
                return room[..Zstd.Encode(page, room)];
            default:
                return page;
        }
    }

    private static void U32(byte[] into, int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(into.AsSpan(at), value);
}
