using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Forengate.Memory.Tests.Lime;

/// <summary>Writes LiME's and AVML's files by hand: packed by the system's libsnappy, framed as framing_format.txt says.</summary>
internal sealed class LimeBuilder
{
    private const int FrameSize = 64 << 10;

    private readonly List<byte> _file = [];

    public LimeBuilder Plain(ulong start, byte[] memory, uint version = 1)
    {
        Header("EMiL"u8, version, start, start + (ulong)memory.Length - 1);
        _file.AddRange(memory);
        return this;
    }

    /// <summary>A block as AVML packs it; frames that would not shrink are stored plain, as its library does.</summary>
    public LimeBuilder Packed(ulong start, byte[] memory, int frameSize = FrameSize)
    {
        Header("AVML"u8, 2, start, start + (ulong)memory.Length - 1);
        var before = _file.Count;
        Frame(0xFF, "sNaPpY"u8);
        for (var at = 0; at < memory.Length; at += frameSize)
        {
            var part = memory.AsSpan(at, Math.Min(frameSize, memory.Length - at));
            var packed = Compress(part.ToArray());
            var isPlain = packed.Length >= part.Length - (part.Length / 8);
            Frame(isPlain ? (byte)1 : (byte)0, [.. Checksum(part), .. isPlain ? part.ToArray() : packed]);
        }
        U64((ulong)(_file.Count - before));
        return this;
    }

    public LimeBuilder Raw(params byte[] bytes)
    {
        _file.AddRange(bytes);
        return this;
    }

    public byte[] Build() => [.. _file];

    private void Header(ReadOnlySpan<byte> magic, uint version, ulong start, ulong last)
    {
        _file.AddRange(magic);
        var word = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(word, version);
        _file.AddRange(word);
        U64(start);
        U64(last);
        U64(0);
    }

    public void Frame(byte type, ReadOnlySpan<byte> data)
    {
        _file.AddRange([type, (byte)data.Length, (byte)(data.Length >> 8), (byte)(data.Length >> 16)]);
        _file.AddRange(data);
    }

    private void U64(ulong value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        _file.AddRange(bytes);
    }

    /// <summary>Bit by bit, unlike the reader's.</summary>
    private static byte[] Checksum(ReadOnlySpan<byte> bytes)
    {
        const uint Castagnoli = 0x82F6_3B78;
        var crc = uint.MaxValue;
        foreach (var value in bytes)
        {
            crc ^= value;
            for (var bit = 0; bit < 8; bit++)
                crc = (crc & 1) != 0 ? crc >> 1 ^ Castagnoli : crc >> 1;
        }
        crc = ~crc;
        var result = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(result, unchecked((crc >> 15 | crc << 17) + 0xA282_EAD8));
        return result;
    }

    private static unsafe byte[] Compress(byte[] bytes)
    {
        var library = NativeLibrary.Load("libsnappy.so.1");
        var most = (delegate* unmanaged<nuint, nuint>)NativeLibrary.GetExport(library, "snappy_max_compressed_length");
        var compress = (delegate* unmanaged<byte*, nuint, byte*, nuint*, int>)NativeLibrary.GetExport(library, "snappy_compress");
        var packed = new byte[most((nuint)bytes.Length)];
        var length = (nuint)packed.Length;
        fixed (byte* from = bytes, to = packed)
            Assert.Equal(0, compress(from, (nuint)bytes.Length, to, &length));
        return packed[..(int)length];
    }
}
