using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>
/// Follows a doubly linked list of the kernel (<c>LIST_ENTRY</c>: Flink, then Blink) whose links may be wild, cyclic or contradict each other.
/// Forward as long as it goes; where the list proves broken, backward as well, and both ways are joined.
/// </summary>
internal static class LinkedListWalk
{
    /// <summary>Reads the entry whose LIST_ENTRY lies at an address. Returns false where there is none: the walk in this direction ends there.</summary>
    public delegate bool Reader<T>(VirtualAddress entry, out Links links, out T item);

    /// <summary>Both pointers of one entry.</summary>
    public readonly record struct Links(VirtualAddress Flink, VirtualAddress Blink);

    /// <summary>Bytes of a LIST_ENTRY; half of it in 32-bit kernels.</summary>
    public const int EntrySize = 16;

    /// <param name="space">The kernel's.</param>
    /// <param name="head">Address of the list's head.</param>
    /// <param name="limit">Entries followed in each direction.</param>
    /// <param name="read">Reads one entry.</param>
    /// <param name="name">The list's name, for warnings.</param>
    /// <param name="warnings">Takes one line for each thing wrong.</param>
    /// <param name="ct">Ends the walk by an exception.</param>
    public static List<T> Follow<T>(
        AddressSpace space, VirtualAddress head, int limit, Reader<T> read, string name, WarningList warnings, CancellationToken ct)
    {
        var items = new List<T>();
        if (!TryReadLinks(space, head, out var ends))
        {
            warnings.Add($"{name}: the list's head at {head} is not in memory");
            return items;
        }

        var seen = new HashSet<VirtualAddress> { head };
        var whole = true;
        var previous = head;
        var at = ends.Flink;
        while (at != head)
        {
            ct.ThrowIfCancellationRequested();
            if (!Step(space, at, seen, limit, read, name, "forward", warnings, out var links, out var item))
            {
                whole = false;
                break;
            }
            items.Add(item);
            if (links.Blink != previous)
            {
                warnings.Add($"{name}: the entry at {at} points back to {links.Blink}, not to {previous} before it");
                whole = false;
            }
            previous = at;
            at = links.Flink;
        }
        if (at == head && ends.Blink != previous)
        {
            warnings.Add($"{name}: the list's head points back to {ends.Blink}, not to the last entry {previous}");
            whole = false;
        }
        if (whole)
            return items;

        // Only entries that the forward walk did not reach; they come in backward order and belong behind the others.
        var backward = new List<T>();
        at = ends.Blink;
        var left = limit;
        while (at != head && left-- > 0)
        {
            ct.ThrowIfCancellationRequested();
            if (seen.Contains(at))
            {
                // Known from the forward walk: pass on without taking it twice, a bounded number of times.
                if (!TryReadLinks(space, at, out var known))
                    break;
                at = known.Blink;
                continue;
            }
            if (!Step(space, at, seen, limit * 2, read, name, "backward", warnings, out var links, out var item))
                break;
            backward.Add(item);
            at = links.Blink;
        }
        if (backward.Count > 0)
        {
            warnings.Add($"{name}: {backward.Count} more found by following it backward");
            backward.Reverse();
            items.AddRange(backward);
        }
        return items;
    }

    public static bool TryReadLinks(AddressSpace space, VirtualAddress entry, out Links links)
    {
        Span<byte> bytes = stackalloc byte[space.Levels < 4 ? EntrySize / 2 : EntrySize];
        if (!KernelPointers.IsObject(entry, space.Levels) || !space.TryRead(entry, bytes))
        {
            links = default;
            return false;
        }
        links = space.Levels < 4 ? FromNarrow(bytes) : From(bytes);
        return true;
    }

    /// <summary>Of a 32-bit kernel.</summary>
    public static Links FromNarrow(ReadOnlySpan<byte> bytes) =>
        new(new VirtualAddress(BinaryPrimitives.ReadUInt32LittleEndian(bytes)), new VirtualAddress(BinaryPrimitives.ReadUInt32LittleEndian(bytes[sizeof(uint)..])));

    public static Links From(ReadOnlySpan<byte> bytes) => new(
        new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(bytes)),
        new VirtualAddress(BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..])));

    private static bool Step<T>(
        AddressSpace space, VirtualAddress at, HashSet<VirtualAddress> seen, int limit, Reader<T> read, string name, string way,
        WarningList warnings, out Links links, out T item)
    {
        links = default;
        item = default!;
        if (!KernelPointers.IsObject(at, space.Levels))
            warnings.Add($"{name}: {way}, the list leads to {at}, which is no kernel address");
        else if (seen.Count > limit)
            warnings.Add($"{name}: {way}, stopped after {limit} entries");
        else if (!seen.Add(at))
            warnings.Add($"{name}: {way}, the list runs in a circle at {at} without coming back to its head");
        else if (!read(at, out links, out item))
            warnings.Add($"{name}: {way}, the entry at {at} is not in memory");
        else
            return true;
        return false;
    }
}
