using System.Numerics;

namespace Forengate.Memory;

/// <summary>Which pages of a memory: one bit a page frame number, all of them held at once (32 MiB for a TiB of memory).</summary>
/// <param name="frames">Page frame numbers from 0 up to here can be in it.</param>
public sealed class PageSet(ulong frames)
{
    private const int BitsShift = 6, BitMask = (1 << BitsShift) - 1;

    private readonly ulong[] _words = new ulong[(frames + BitMask) >> BitsShift];

    /// <summary>One past the highest page frame number that can be in it.</summary>
    public ulong Frames { get; } = frames;

    public ulong Count
    {
        get
        {
            var count = 0UL;
            foreach (var word in _words)
                count += (ulong)BitOperations.PopCount(word);
            return count;
        }
    }

    /// <summary>False for a frame beyond <see cref="Frames"/>.</summary>
    public bool Contains(ulong frame) => frame < Frames && (_words[frame >> BitsShift] >> (int)(frame & BitMask) & 1) != 0;

    /// <summary>Adds a page; a frame beyond <see cref="Frames"/> is no page.</summary>
    /// <returns>True when it is one and was not in it before.</returns>
    public bool Add(ulong frame)
    {
        if (frame >= Frames)
            return false;
        ref var word = ref _words[frame >> BitsShift];
        var bit = 1UL << (int)(frame & BitMask);
        var isNew = (word & bit) == 0;
        word |= bit;
        return isNew;
    }

    /// <summary>Adds pages, as far as they lie before <see cref="Frames"/>.</summary>
    public void Add(ulong first, ulong count)
    {
        for (ulong frame = first, end = first + Math.Min(count, Frames - Math.Min(first, Frames)); frame < end; frame++)
            Add(frame);
    }

    /// <summary>Adds what another has, as far as it can be in this one.</summary>
    public void Add(PageSet other)
    {
        for (var i = 0; i < Math.Min(_words.Length, other._words.Length); i++)
            _words[i] |= other._words[i];
    }

    /// <summary>Takes out what another has.</summary>
    public void Remove(PageSet other)
    {
        for (var i = 0; i < Math.Min(_words.Length, other._words.Length); i++)
            _words[i] &= ~other._words[i];
    }

    /// <summary>How many frames from <paramref name="frame"/> on are alike: all in it, or all not.</summary>
    /// <param name="frame">Where to start.</param>
    /// <param name="most">Looked at, at most; at least 1.</param>
    public ulong AlikeFrom(ulong frame, ulong most)
    {
        var isIn = Contains(frame);
        var alike = 1UL;
        while (alike < most)
        {
            var at = frame + alike;
            if (at >= Frames)
                return isIn ? alike : most;
            if ((at & BitMask) == 0 && _words[at >> BitsShift] == (isIn ? ulong.MaxValue : 0))
            {
                alike += 1UL << BitsShift;
                continue;
            }
            if (Contains(at) != isIn)
                return alike;
            alike++;
        }
        return Math.Min(alike, most);
    }
}
