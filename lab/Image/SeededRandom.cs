using System.Buffers.Binary;

namespace Forengate.Lab.Image;

/// <summary>Our own generator (SplitMix64), so that a seed gives the same image on every machine and .NET version.</summary>
internal sealed class SeededRandom(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15;
        var z = _state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>A number in [0, <paramref name="bound"/>).</summary>
    public ulong Next(ulong bound) => (ulong)(((UInt128)Next() * bound) >> 64);

    public int Next(int low, int high) => low + (int)Next((ulong)(high - low));

    public bool Chance(int percent) => Next(100) < (ulong)percent;

    public T Pick<T>(IReadOnlyList<T> items) => items[Next(0, items.Count)];

    public void Fill(Span<byte> bytes)
    {
        for (; bytes.Length >= 8; bytes = bytes[8..])
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, Next());
        for (var i = 0; i < bytes.Length; i++)
            bytes[i] = (byte)Next();
    }

    public void Shuffle<T>(Span<T> items)
    {
        for (var i = items.Length - 1; i > 0; i--)
        {
            var j = Next(0, i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }
}
