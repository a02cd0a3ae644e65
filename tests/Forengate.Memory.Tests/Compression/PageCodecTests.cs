using System.IO.Compression;
using Forengate.Testing.Hostile;

namespace Forengate.Memory.Tests.Compression;

/// <summary>Page decoders against streams that other programs packed; encoders against other programs' decoders.</summary>
public sealed class PageCodecTests
{
    private delegate bool Decoder(ReadOnlySpan<byte> source, Span<byte> destination, out int written);

    [Fact]
    public void Zlib_reads_what_the_runtime_packed_and_both_ways_agree()
    {
        foreach (var level in new[] { CompressionLevel.NoCompression, CompressionLevel.Fastest, CompressionLevel.SmallestSize })
        {
            var page = SamplePage(1);
            var packed = Packed(stream => new ZLibStream(stream, level), page);
            AssertDecodes(Zlib.TryDecode, packed, page);
            AssertDecodes(Zlib.TryDecodeByRuntime, packed, page);
        }
    }

    [Fact]
    public void What_Zlib_packs_the_runtime_reads()
    {
        var page = SamplePage(2);
        var room = new byte[Page.Size];
        AssertDecodes(Zlib.TryDecodeByRuntime, room.AsSpan(0, Zlib.Encode(page, room)), page);
        AssertDecodes(Zlib.TryDecodeByRuntime, room.AsSpan(0, Zlib.EncodeByRuntime(page, room)), page);
        Assert.Equal(0, Zlib.Encode(Noise(3), room));
        Assert.Equal(0, Zlib.EncodeByRuntime(Noise(3), room));
    }

    [Fact]
    public void Zstd_packs_and_unpacks_and_says_when_it_does_not_fit()
    {
        var page = SamplePage(4);
        var room = new byte[Page.Size];
        var length = Zstd.Encode(page, room);
        Assert.InRange(length, 1, Page.Size * 3 / 4);
        AssertDecodes(Zstd.TryDecode, room.AsSpan(0, length), page);
        Assert.Equal(0, Zstd.Encode(Noise(5), room));
        // A checksum tells damage that leaves the frame's form alone.
        room[length - 40] ^= 1;
        Assert.False(Zstd.TryDecode(room.AsSpan(0, length), page, out _));
        // A frame of the zstd program (1.5.4, "printf forengate | zstd").
        var byProgram = Convert.FromHexString("28b52ffd0458490000666f72656e67617465430030cb");
        var plain = new byte[9];
        Assert.True(Zstd.TryDecode(byProgram, plain, out var written));
        Assert.Equal(plain.Length, written);
        Assert.Equal("forengate"u8, plain);
    }

    [Fact]
    public void Lzo1x_reads_what_liblzo_packed() => AssertDecodes(Lzo1x.TryDecode, NativePackers.Lzo(SamplePage(6)), SamplePage(6));

    [Fact]
    public void Snappy_reads_what_libsnappy_packed() => AssertDecodes(Snappy.TryDecode, NativePackers.Snappy(SamplePage(7)), SamplePage(7));

    [Fact]
    public void Spoilt_streams_are_refused_or_give_no_more_than_fits()
    {
        var page = SamplePage(8);
        var room = new byte[Page.Size];
        var zlib = room[..Zlib.Encode(page, room)].ToArray();
        var zstd = room[..Zstd.Encode(page, room)].ToArray();
        (Decoder Decode, byte[] Packed)[] all =
        [
            (Zlib.TryDecode, zlib), (Zlib.TryDecodeByRuntime, zlib), (Zstd.TryDecode, zstd), (Lzo1x.TryDecode, NativePackers.Lzo(page)), (Snappy.TryDecode, NativePackers.Snappy(page)),
        ];
        foreach (var (decode, packed) in all)
        {
            var refused = 0;
            var guarded = new byte[Page.Size + 64];
            Bounded.Survives(packed, 11, 300, bytes =>
            {
                guarded.AsSpan(Page.Size).Fill(0xA5);
                if (!decode(bytes, guarded.AsSpan(0, Page.Size), out var written))
                    refused++;
                Assert.InRange(written, 0, Page.Size);
                Assert.False(guarded.AsSpan(Page.Size).ContainsAnyExcept((byte)0xA5));
            });
            Assert.InRange(refused, 50, 300);
        }
    }

    private static void AssertDecodes(Decoder decode, ReadOnlySpan<byte> packed, byte[] plain)
    {
        var room = new byte[plain.Length];
        Assert.True(decode(packed, room, out var written));
        Assert.Equal(plain.Length, written);
        Assert.Equal(plain, room);
        Assert.False(decode(packed, room.AsSpan(1), out _));
        Assert.False(decode(packed[..(packed.Length / 2)], room, out var half) && half == plain.Length);
        Assert.False(decode([], room, out _));
    }

    private static byte[] Packed(Func<Stream, Stream> by, byte[] plain)
    {
        var result = new MemoryStream();
        using (var stream = by(result))
            stream.Write(plain);
        return result.ToArray();
    }

    private static byte[] SamplePage(int seed)
    {
        // Four bits of chance in each byte: it packs to about half, and no part of it follows from another.
        var page = Noise(seed);
        for (var i = 0; i < page.Length; i++)
            page[i] &= 0x0F;
        return page;
    }

    private static byte[] Noise(int seed)
    {
        var page = new byte[Page.Size];
        new Random(seed).NextBytes(page);
        return page;
    }
}
