using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Forengate.Memory;

/// <summary>
/// Many patterns looked for at once, at the cost of about one pass over the bytes however many they are.
/// </summary>
/// <remarks>
/// The patterns are dealt out to eight buckets, a bit each. For four neighbouring bytes of each pattern (its window, chosen where it is least common) two tables of 16 say, by low and by high
/// nibble, which buckets a byte may belong to; and-ing them for all four bytes leaves, for each position, the buckets that may match there, 32 or 64 positions at a time. A last
/// table drops positions whose alignment fits no pattern of the bucket. What is left is compared in full. (The idea is "Teddy" from Intel's Hyperscan.)
/// </remarks>
public sealed class PatternSet
{
    private const int Buckets = 8;
    private const int Window = 4;

    private readonly BytePattern[] _patterns;
    private readonly Entry[] _entries;
    private readonly int[][] _inBucket;
    private readonly byte[] _low = new byte[Window * 16];
    private readonly byte[] _high = new byte[Window * 16];
    private readonly byte[] _aligned = new byte[16];

    /// <param name="patterns">At most 4,096, repeats allowed.</param>
    public PatternSet(IEnumerable<BytePattern> patterns)
    {
        _patterns = [.. patterns];
        ArgumentOutOfRangeException.ThrowIfGreaterThan(_patterns.Length, 4096, nameof(patterns));
        _entries = new Entry[_patterns.Length];
        var buckets = new List<int>[Buckets];
        for (var i = 0; i < Buckets; i++)
            buckets[i] = [];
        for (var i = 0; i < _patterns.Length; i++)
        {
            var pattern = _patterns[i];
            if (pattern.Bytes.IsEmpty)
                throw new ArgumentException($"pattern {i} is empty", nameof(patterns));
            var entry = new Entry(pattern.Bytes.ToArray(), BestWindow(pattern.Bytes.Span), (uint)pattern.Alignment - 1, (uint)pattern.Phase);
            _entries[i] = entry;
            Add(entry, 1 << (i % Buckets));
            buckets[i % Buckets].Add(i);
        }
        _inBucket = [.. buckets.Select(bucket => bucket.ToArray())];
    }

    public int Count => _patterns.Length;

    public BytePattern this[int index] => _patterns[index];

    /// <summary>Finds all patterns that start in the first <paramref name="starts"/> bytes, lie wholly in <paramref name="bytes"/> and end behind <paramref name="endsBehind"/>.</summary>
    internal void Search<TSink>(ReadOnlySpan<byte> bytes, PhysicalAddress at, int starts, int endsBehind, ref TSink sink, int vectorBytes = 64)
        where TSink : struct, IPatternSink
    {
        if (bytes.Length < Window || _entries.Length == 0)
            return;
        var frame = new SearchFrame<TSink>(bytes, at, starts, endsBehind, ref sink);
        var position = 0;
        if (vectorBytes >= Vector512<byte>.Count && Avx512BW.IsSupported)
            position = Search512(ref frame);
        else if (vectorBytes >= Vector256<byte>.Count && Avx2.IsSupported)
            position = Search256(ref frame);
        SearchScalar(ref frame, position);
    }

    private int Search512<TSink>(ref SearchFrame<TSink> frame)
        where TSink : struct, IPatternSink
    {
        ref var first = ref MemoryMarshal.GetReference(frame.Bytes);
        var nibble = Vector512.Create((byte)0x0F);
        var (low0, low1, low2, low3) = (Table512(_low, 0), Table512(_low, 1), Table512(_low, 2), Table512(_low, 3));
        var (high0, high1, high2, high3) = (Table512(_high, 0), Table512(_high, 1), Table512(_high, 2), Table512(_high, 3));
        var aligned = Rotated(frame.At.Value);
        var alignment = Vector512.Create(Vector256.Create(aligned, aligned), Vector256.Create(aligned, aligned));
        var position = 0;
        for (var end = frame.Bytes.Length - Vector512<byte>.Count - Window + 1; position <= end; position += Vector512<byte>.Count)
        {
            ref var here = ref Unsafe.Add(ref first, position);
            var found = alignment & Match(ref here, low0, high0, nibble) & Match(ref Unsafe.Add(ref here, 1), low1, high1, nibble)
                & Match(ref Unsafe.Add(ref here, 2), low2, high2, nibble) & Match(ref Unsafe.Add(ref here, 3), low3, high3, nibble);
            if (found == Vector512<byte>.Zero)
                continue;
            for (var hits = ~Vector512.Equals(found, Vector512<byte>.Zero).ExtractMostSignificantBits(); hits != 0; hits &= hits - 1)
            {
                var lane = BitOperations.TrailingZeroCount(hits);
                Verify(ref frame, position + lane, found.GetElement(lane));
            }
        }
        return position;

        static Vector512<byte> Match(ref byte at, Vector512<byte> low, Vector512<byte> high, Vector512<byte> nibble)
        {
            var bytes = Vector512.LoadUnsafe(ref at);
            return Avx512BW.Shuffle(low, bytes & nibble) & Avx512BW.Shuffle(high, (bytes.AsUInt16() >>> 4).AsByte() & nibble);
        }

        static Vector512<byte> Table512(byte[] tables, int index)
        {
            var table = Vector128.Create(tables, index * 16);
            return Vector512.Create(Vector256.Create(table, table), Vector256.Create(table, table));
        }
    }

    private int Search256<TSink>(ref SearchFrame<TSink> frame)
        where TSink : struct, IPatternSink
    {
        ref var first = ref MemoryMarshal.GetReference(frame.Bytes);
        var nibble = Vector256.Create((byte)0x0F);
        var (low0, low1, low2, low3) = (Table256(_low, 0), Table256(_low, 1), Table256(_low, 2), Table256(_low, 3));
        var (high0, high1, high2, high3) = (Table256(_high, 0), Table256(_high, 1), Table256(_high, 2), Table256(_high, 3));
        var aligned = Rotated(frame.At.Value);
        var alignment = Vector256.Create(aligned, aligned);
        var position = 0;
        for (var end = frame.Bytes.Length - Vector256<byte>.Count - Window + 1; position <= end; position += Vector256<byte>.Count)
        {
            ref var here = ref Unsafe.Add(ref first, position);
            var found = alignment & Match(ref here, low0, high0, nibble) & Match(ref Unsafe.Add(ref here, 1), low1, high1, nibble)
                & Match(ref Unsafe.Add(ref here, 2), low2, high2, nibble) & Match(ref Unsafe.Add(ref here, 3), low3, high3, nibble);
            if (found == Vector256<byte>.Zero)
                continue;
            for (var hits = ~Vector256.Equals(found, Vector256<byte>.Zero).ExtractMostSignificantBits(); hits != 0; hits &= hits - 1)
            {
                var lane = BitOperations.TrailingZeroCount(hits);
                Verify(ref frame, position + lane, found.GetElement(lane));
            }
        }
        return position;

        static Vector256<byte> Match(ref byte at, Vector256<byte> low, Vector256<byte> high, Vector256<byte> nibble)
        {
            var bytes = Vector256.LoadUnsafe(ref at);
            return Avx2.Shuffle(low, bytes & nibble) & Avx2.Shuffle(high, (bytes.AsUInt16() >>> 4).AsByte() & nibble);
        }

        static Vector256<byte> Table256(byte[] tables, int index)
        {
            var table = Vector128.Create(tables, index * 16);
            return Vector256.Create(table, table);
        }
    }

    private void SearchScalar<TSink>(ref SearchFrame<TSink> frame, int position)
        where TSink : struct, IPatternSink
    {
        var bytes = frame.Bytes;
        for (; position <= bytes.Length - Window; position++)
        {
            var found = _aligned[(int)((frame.At.Value + (ulong)position) & 15)];
            for (var i = 0; i < Window && found != 0; i++)
            {
                var value = bytes[position + i];
                found &= (byte)(_low[(i * 16) + (value & 15)] & _high[(i * 16) + (value >> 4)]);
            }
            if (found != 0)
                Verify(ref frame, position, found);
        }
    }

    private void Verify<TSink>(ref SearchFrame<TSink> frame, int position, byte buckets)
        where TSink : struct, IPatternSink
    {
        for (uint left = buckets; left != 0; left &= left - 1)
        {
            foreach (var index in _inBucket[BitOperations.TrailingZeroCount(left)])
            {
                ref readonly var entry = ref _entries[index];
                var start = position - entry.Window;
                if ((uint)start >= (uint)frame.Starts || start + entry.Bytes.Length > frame.Bytes.Length || start + entry.Bytes.Length <= frame.EndsBehind)
                    continue;
                var address = frame.At + (ulong)start;
                if ((address.Value & entry.AlignmentMask) == entry.Phase && frame.Bytes.Slice(start, entry.Bytes.Length).SequenceEqual(entry.Bytes))
                    frame.Sink.Found(new PatternHit(address, index));
            }
        }
    }

    private void Add(in Entry entry, int bit)
    {
        for (var i = 0; i < Window; i++)
        {
            var value = entry.Bytes[entry.Window + i];
            _low[(i * 16) + (value & 15)] |= (byte)bit;
            _high[(i * 16) + (value >> 4)] |= (byte)bit;
        }
        for (uint position = 0; position < 16; position++)
        {
            if (((position - (uint)entry.Window) & entry.AlignmentMask) == entry.Phase)
                _aligned[position] |= (byte)bit;
        }
    }

    /// <summary>The alignment table as seen from an address: lane i is for address + i.</summary>
    private Vector128<byte> Rotated(ulong address)
    {
        Span<byte> rotated = stackalloc byte[16];
        for (var i = 0; i < 16; i++)
            rotated[i] = _aligned[(int)((address + (ulong)i) & 15)];
        return Vector128.Create((ReadOnlySpan<byte>)rotated);
    }

    /// <summary>Where the four bytes begin that are the least like what fills memory: zeros, ones and repeats.</summary>
    private static int BestWindow(ReadOnlySpan<byte> pattern)
    {
        var (best, bestScore) = (0, -1);
        for (var start = 0; start <= pattern.Length - Window; start++)
        {
            var score = 0;
            for (var i = start; i < start + Window; i++)
            {
                if (pattern[i] is not (0 or 0xFF))
                    score += i == start || pattern[i] != pattern[i - 1] ? 2 : 1;
            }
            if (score > bestScore)
                (best, bestScore) = (start, score);
        }
        return best;
    }

    private readonly record struct Entry(byte[] Bytes, int Window, uint AlignmentMask, uint Phase);

    private readonly ref struct SearchFrame<TSink>(ReadOnlySpan<byte> bytes, PhysicalAddress at, int starts, int endsBehind, ref TSink sink)
        where TSink : struct, IPatternSink
    {
        public readonly ReadOnlySpan<byte> Bytes = bytes;
        public readonly PhysicalAddress At = at;
        public readonly int Starts = starts;
        public readonly int EndsBehind = endsBehind;
        public readonly ref TSink Sink = ref sink;
    }
}
