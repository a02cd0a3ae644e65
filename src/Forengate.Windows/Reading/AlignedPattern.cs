using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.Intrinsics;

namespace Forengate.Windows;

/// <summary>Finds masked values that lie on 16-byte boundaries, two boundaries an instruction where the CPU has 256-bit vectors.</summary>
internal static class AlignedPattern
{
    private const int Alignment = 16;

    /// <summary>First offset, at or behind <paramref name="from"/> and a multiple of 16, where the dword under the mask equals the pattern; -1 where there is none.</summary>
    public static int IndexOf(ReadOnlySpan<byte> bytes, int from, uint pattern, uint mask)
    {
        var offset = (from + Alignment - 1) & ~(Alignment - 1);

        // Lanes 0 and 4 of eight dwords are the ones on a boundary; their bits in the mask of equal lanes are 0x11.
        if (Vector256.IsHardwareAccelerated)
        {
            var (patterns, masks) = (Vector256.Create(pattern), Vector256.Create(mask));
            for (; offset + Vector256<byte>.Count <= bytes.Length; offset += Vector256<byte>.Count)
            {
                var equal = Vector256.Equals(Vector256.Create(bytes.Slice(offset, Vector256<byte>.Count)).AsUInt32() & masks, patterns).ExtractMostSignificantBits() & 0x11;
                if (equal != 0)
                    return offset + (BitOperations.TrailingZeroCount(equal) * sizeof(uint));
            }
        }
        for (; offset + sizeof(uint) <= bytes.Length; offset += Alignment)
        {
            if ((BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]) & mask) == pattern)
                return offset;
        }
        return -1;
    }

    /// <summary>The same for qwords: lanes 0 and 2 of four.</summary>
    public static int IndexOf(ReadOnlySpan<byte> bytes, int from, ulong pattern, ulong mask)
    {
        var offset = (from + Alignment - 1) & ~(Alignment - 1);
        if (Vector256.IsHardwareAccelerated)
        {
            var (patterns, masks) = (Vector256.Create(pattern), Vector256.Create(mask));
            for (; offset + Vector256<byte>.Count <= bytes.Length; offset += Vector256<byte>.Count)
            {
                var equal = Vector256.Equals(Vector256.Create(bytes.Slice(offset, Vector256<byte>.Count)).AsUInt64() & masks, patterns).ExtractMostSignificantBits() & 0x5;
                if (equal != 0)
                    return offset + (BitOperations.TrailingZeroCount(equal) * sizeof(ulong));
            }
        }
        for (; offset + sizeof(ulong) <= bytes.Length; offset += Alignment)
        {
            if ((BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]) & mask) == pattern)
                return offset;
        }
        return -1;
    }
}
