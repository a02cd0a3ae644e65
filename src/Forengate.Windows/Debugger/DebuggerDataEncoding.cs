using System.Buffers.Binary;
using System.Numerics;

namespace Forengate.Windows;

/// <summary>
/// The encoding that Windows lays over <c>KdDebuggerDataBlock</c> while no debugger is attached. Each little-endian qword E becomes plain by
/// <c>P = bswap64(rol64(E ^ never, never) ^ flag) ^ always</c> with <c>KiWaitNever</c>, the address of <c>KdpDataBlockEncoded</c> and <c>KiWaitAlways</c>
/// (read in QEMU's elf2dmp). Rotation and byte swap distribute over XOR, so this is <c>P = bswap64(rol64(E, r)) ^ C</c> with one C for the whole block:
/// one known word and 64 rotations decode it without any key.
/// </summary>
internal static class DebuggerDataEncoding
{
    public const int Rotations = 64;

    /// <summary>A way to decode: how far to rotate and what to XOR.</summary>
    public readonly record struct Key(int Rotation, ulong Constant)
    {
        public ulong Decode(ulong word) => BinaryPrimitives.ReverseEndianness(BitOperations.RotateLeft(word, Rotation)) ^ Constant;

        public ulong Encode(ulong word) => BitOperations.RotateRight(BinaryPrimitives.ReverseEndianness(word ^ Constant), Rotation);
    }

    /// <summary>The key that Windows' own two secrets and the flag's address make.</summary>
    public static Key FromSecrets(ulong waitNever, ulong waitAlways, ulong flagAddress)
    {
        var rotation = (int)(waitNever & (Rotations - 1));
        return new Key(rotation, BinaryPrimitives.ReverseEndianness(BitOperations.RotateLeft(waitNever, rotation) ^ flagAddress) ^ waitAlways);
    }

    /// <summary>The key of this rotation under which an encoded word means a known one.</summary>
    public static Key FromKnownWord(ulong encoded, ulong plain, int rotation) =>
        new(rotation, new Key(rotation, 0).Decode(encoded) ^ plain);

    /// <summary>Decodes whole qwords; bytes behind the last whole one are copied.</summary>
    public static void Decode(ReadOnlySpan<byte> encoded, Span<byte> plain, Key key)
    {
        var i = 0;
        for (; i + sizeof(ulong) <= encoded.Length; i += sizeof(ulong))
            BinaryPrimitives.WriteUInt64LittleEndian(plain[i..], key.Decode(BinaryPrimitives.ReadUInt64LittleEndian(encoded[i..])));
        encoded[i..].CopyTo(plain[i..]);
    }
}
