using System.Numerics;
using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>One bit a page frame, frame 0 first, lowest bit first: as a kdump stores it, with the count of set bits before any frame.</summary>
internal sealed class FrameBitmap
{
    public const int BitsPerWord = 64;
    private const int WordShift = 6;
    private const int WordsPerCount = 8;

    private ulong[]? _counts;

    /// <param name="frames">All bits are clear at first.</param>
    public FrameBitmap(ulong frames)
    {
        Frames = frames;
        Words = new ulong[(frames + BitsPerWord - 1) / BitsPerWord];
    }

    public ulong Frames { get; }

    /// <summary>The bits; those from <see cref="Frames"/> on are clear. Whoever changes them after <see cref="CountBits"/> counts again.</summary>
    public ulong[] Words { get; }

    /// <summary>Set bits, as counted last.</summary>
    public ulong Count { get; private set; }

    /// <summary>Takes the bits from the file; those it lacks stay clear.</summary>
    /// <returns>False where the file lacks some.</returns>
    public bool Load(KdumpBytes bytes, ulong offset)
    {
        var target = MemoryMarshal.AsBytes(Words.AsSpan());
        var wanted = (Frames + 7) / 8;
        var whole = true;
        for (ulong done = 0; done < wanted;)
        {
            var span = bytes.Span(offset + done, (int)Math.Min(wanted - done, 1 << 30));
            if (span.IsEmpty)
            {
                // A gap between two pieces of a flattened file is smaller than a block nowhere: step over it block by block.
                whole = false;
                if (offset + done >= bytes.Length)
                    break;
                done += Math.Min(wanted - done, Page.Size - ((offset + done) & Page.OffsetMask));
                continue;
            }
            span.CopyTo(target[(int)done..]);
            done += (ulong)span.Length;
        }
        if (Frames % BitsPerWord is not 0 and var used)
            Words[^1] &= (1UL << (int)used) - 1;
        return whole;
    }

    public bool this[ulong frame] => frame < Frames && (Words[frame >> WordShift] >> (int)(frame & (BitsPerWord - 1)) & 1) != 0;

    public void Set(ulong frame) => Words[frame >> WordShift] |= 1UL << (int)(frame & (BitsPerWord - 1));

    /// <summary>Sets a stretch.</summary>
    public void Set(ulong from, ulong to)
    {
        for (var frame = from; frame < Math.Min(to, Frames);)
            Words[frame >> WordShift] |= MaskAt(ref frame, Math.Min(to, Frames));
    }

    /// <summary>Clears a stretch.</summary>
    public void Clear(ulong from, ulong to)
    {
        for (var frame = from; frame < Math.Min(to, Frames);)
            Words[frame >> WordShift] &= ~MaskAt(ref frame, Math.Min(to, Frames));
    }

    /// <summary>The first frame from here on whose bit is as asked; <see cref="Frames"/> where there is none.</summary>
    public ulong Next(ulong frame, bool isSet)
    {
        if (frame >= Frames)
            return Frames;
        var flip = isSet ? 0 : ulong.MaxValue;
        var index = frame >> WordShift;
        var word = (Words[index] ^ flip) & (ulong.MaxValue << (int)(frame & (BitsPerWord - 1)));
        while (word == 0)
        {
            if (++index == (ulong)Words.Length)
                return Frames;
            word = Words[index] ^ flip;
        }
        return Math.Min((index << WordShift) + (ulong)BitOperations.TrailingZeroCount(word), Frames);
    }

    /// <summary>Counts the bits, so that <see cref="Rank"/> can answer.</summary>
    public void CountBits()
    {
        var counts = new ulong[(Words.Length + WordsPerCount - 1) / WordsPerCount];
        var sum = 0UL;
        for (var i = 0; i < Words.Length; i++)
        {
            if (i % WordsPerCount == 0)
                counts[i / WordsPerCount] = sum;
            sum += (ulong)BitOperations.PopCount(Words[i]);
        }
        (_counts, Count) = (counts, sum);
    }

    /// <summary>How many bits are set before this frame.</summary>
    public ulong Rank(ulong frame)
    {
        if (frame >= Frames)
            return Count;
        var word = (int)(frame >> WordShift);
        var rank = _counts![word / WordsPerCount];
        for (var i = word & ~(WordsPerCount - 1); i < word; i++)
            rank += (ulong)BitOperations.PopCount(Words[i]);
        return rank + (ulong)BitOperations.PopCount(Words[word] & ((1UL << (int)(frame & (BitsPerWord - 1))) - 1));
    }

    /// <summary>The bits of one word from a frame on; moves the frame behind them.</summary>
    private static ulong MaskAt(ref ulong frame, ulong to)
    {
        var bit = (int)(frame & (BitsPerWord - 1));
        var count = (int)Math.Min((ulong)(BitsPerWord - bit), to - frame);
        frame += (ulong)count;
        return (count == BitsPerWord ? ulong.MaxValue : (1UL << count) - 1) << bit;
    }
}
