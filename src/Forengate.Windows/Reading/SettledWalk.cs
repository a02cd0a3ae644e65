using System.Buffers.Binary;
using System.Diagnostics;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// Walks a list of a running guest until what was walked was a list at one time. A walk takes milliseconds, and can see a list that never was: without an entry that moved from behind it to before it, with all links
/// right. So the links alone of all entries found are read again, twice, in microseconds: when both readings agree and close the ring, the list was so between them (<i>double collect</i>: Afek et al., Atomic
/// snapshots of shared memory, 1993). Otherwise it is walked again, a bounded number of times. Memory that stands still is walked once.
/// </summary>
internal static class SettledWalk
{
    /// <summary>Walks made before the list is called torn.</summary>
    public const int MostWalks = 16;

    /// <summary>Equal walks in a row whose links are wrong in the same way: the list is broken, not torn.</summary>
    private const int EqualWhenBroken = 5;

    /// <summary>Between two walks, in milliseconds.</summary>
    private const int LongestPause = 10;

    /// <summary>Two readings of the links that took longer were interrupted, and a list that changed there and back in between would look the same.</summary>
    private static readonly TimeSpan s_quick = TimeSpan.FromMilliseconds(1);

    /// <summary>How often the links are read for want of a quick reading, before all is walked again.</summary>
    private const int QuickTries = 8;

    private static readonly TimeSpan s_quickPerEntry = TimeSpan.FromMicroseconds(5);

    /// <param name="kernel">The kernel's address space.</param>
    /// <param name="head">The list's head.</param>
    /// <param name="name">The list's name, for the warning.</param>
    /// <param name="warnings">Takes those of the walk whose items are returned, and one more where the list did not hold still.</param>
    /// <param name="limit">Warnings kept of one walk.</param>
    /// <param name="walk">Walks the list once.</param>
    /// <param name="linksOf">Where an entry's LIST_ENTRY lies.</param>
    public static (List<T> Items, TornReads Torn) Run<T>(
        AddressSpace kernel, VirtualAddress? head, string name, WarningList warnings, int limit, Func<WarningList, List<T>> walk, Func<T, VirtualAddress> linksOf)
    {
        if (!kernel.Memory.MayChange || head is not { } start)
            return (walk(warnings), default);
        VirtualAddress[] before = [];
        IReadOnlyList<string> warnedBefore = [];
        var equal = 0;
        for (var walks = 1; ; walks++)
        {
            var own = new WarningList(limit);
            var items = walk(own);
            VirtualAddress[] ring = [start, .. items.Select(linksOf)];
            var warned = own.ToList();
            var holds = Holds(kernel, ring);
            equal = warned.Count > 0 && warned.SequenceEqual(warnedBefore) && ring.AsSpan().SequenceEqual(before) ? equal + 1 : 1;
            // A walk that complained and then found the ring closed met a change that is over, unless it complains the same way each time (a page that is not in memory).
            holds &= warned.Count == 0 || equal > 1;
            if (holds || equal == EqualWhenBroken || walks == MostWalks)
            {
                foreach (var line in warned)
                    warnings.Add(line);
                var isTorn = !holds && equal != EqualWhenBroken;
                if (isTorn)
                    warnings.Add($"{name}: torn: the list changed each of the {MostWalks} times it was read, and may never have been as shown; take it again, or without --consistency live");
                return (items, new TornReads(walks - 1, isTorn ? 1 : 0));
            }
            (before, warnedBefore) = (ring, warned);
            // Whoever is in the middle of a change gets time to end it.
            Thread.Sleep(Math.Min(walks, LongestPause));
        }
    }

    /// <summary>True when the entries were one closed ring, in this order, at one time.</summary>
    private static bool Holds(AddressSpace kernel, VirtualAddress[] ring)
    {
        var size = kernel.Levels < 4 ? LinkedListWalk.EntrySize / 2 : LinkedListWalk.EntrySize;
        var places = new PhysicalAddress?[ring.Length];
        for (var i = 0; i < ring.Length; i++)
        {
            // An entry across two pages is read through the page tables each time.
            if (ring[i].PageOffset + size <= Page.Size && kernel.Translate(ring[i]) is { Ok: true } translation)
                places[i] = translation.Address;
        }
        for (var tries = 0; tries < QuickTries; tries++)
        {
            var started = Stopwatch.GetTimestamp();
            if (!IsClosed() || !IsClosed())
                return false;
            if (Stopwatch.GetElapsedTime(started) <= s_quick + (s_quickPerEntry * ring.Length))
                return true;
        }
        return false;

        bool IsClosed()
        {
            Span<byte> bytes = stackalloc byte[LinkedListWalk.EntrySize];
            for (var i = 0; i < ring.Length; i++)
            {
                LinkedListWalk.Links links;
                if (places[i] is { } place)
                {
                    if (!kernel.Memory.TryRead(place, bytes[..size]))
                        return false;
                    links = size == LinkedListWalk.EntrySize ? LinkedListWalk.From(bytes) : LinkedListWalk.FromNarrow(bytes);
                }
                else if (!LinkedListWalk.TryReadLinks(kernel, ring[i], out links))
                {
                    return false;
                }
                if (links.Flink != ring[(i + 1) % ring.Length] || links.Blink != ring[(i + ring.Length - 1) % ring.Length])
                    return false;
            }
            return true;
        }
    }
}
