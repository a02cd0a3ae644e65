using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Which pages of a copy's room hold anything. New memory is zeros, and so what a guest has no pages for costs nothing; but the room is filled before the guest is stopped, too, and what
/// the guest has given back since then must not stay there.
/// </summary>
/// <remarks>Threads may use it at once where each has pages of its own, a multiple of <see cref="PagesAWord"/> of them.</remarks>
internal sealed unsafe class FilledPages
{
    private const int PagesAWord = 64;

    private readonly byte* _start;
    private readonly ulong[] _words;

    /// <param name="start">Of the room: zeros.</param>
    /// <param name="length">Bytes.</param>
    public FilledPages(byte* start, ulong length)
    {
        _start = start;
        _words = new ulong[(length / Page.Size / PagesAWord) + 1];
    }

    /// <summary>A stretch of pages has been written.</summary>
    public void Fill(byte* target, ulong length)
    {
        var (at, end) = Pages(target, length);
        while (at < end)
        {
            ref var word = ref WordOf(at, end, out var mask, out at);
            word |= mask;
        }
    }

    /// <summary>Zeros a stretch of pages, as far as it holds anything.</summary>
    public void Empty(byte* target, ulong length)
    {
        var (at, end) = Pages(target, length);
        while (at < end)
        {
            var first = at;
            ref var word = ref WordOf(at, end, out var mask, out at);
            if ((word & mask) == 0)
                continue;
            new Span<byte>(_start + (first * Page.Size), (int)((at - first) * Page.Size)).Clear();
            word &= ~mask;
        }
    }

    private (ulong First, ulong End) Pages(byte* target, ulong length)
    {
        var offset = (ulong)(target - _start);
        return (offset / Page.Size, (offset + length + Page.OffsetMask) / Page.Size);
    }

    /// <summary>The word of a page, those of its bits that stand for pages before the end, and the first page behind it.</summary>
    private ref ulong WordOf(ulong page, ulong end, out ulong mask, out ulong next)
    {
        var bit = (int)(page % PagesAWord);
        next = Math.Min(end, page - (ulong)bit + PagesAWord);
        var count = (int)(next - page);
        mask = (count == PagesAWord ? ulong.MaxValue : (1UL << count) - 1) << bit;
        return ref _words[page / PagesAWord];
    }
}
