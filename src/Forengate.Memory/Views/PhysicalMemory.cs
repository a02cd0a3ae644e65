using System.Runtime.InteropServices;

namespace Forengate.Memory;

/// <summary>
/// Guest-physical memory at one instant (or smeared over several: the <see cref="View"/> says which).
/// </summary>
/// <remarks>
/// Unreadable memory is a short count or a page state, never an exception. Implementations are safe for concurrent reads.
/// </remarks>
public abstract class PhysicalMemory : IDisposable
{
    /// <summary>Where the guest has memory, as far as the source tells: sorted, disjoint, merged where they touch, on page boundaries. Pages in them may still be missing.</summary>
    public abstract IReadOnlyList<PhysicalRange> Ranges { get; }

    /// <summary>Sum of the lengths of <see cref="Ranges"/>, in bytes.</summary>
    public ulong Size
    {
        get
        {
            var sum = 0UL;
            foreach (var range in Ranges)
                sum += range.Length;
            return sum;
        }
    }

    /// <summary>One past the highest address of <see cref="Ranges"/>; 0 when there are none.</summary>
    public PhysicalAddress End => Ranges.Count == 0 ? default : Ranges[^1].End;

    /// <summary>True where the same page may hold other bytes when it is read again: a guest that runs. What is torn is worth reading again then.</summary>
    public virtual bool MayChange => false;

    /// <summary>State of the page that <paramref name="address"/> lies in.</summary>
    public abstract PageState StateOf(PhysicalAddress address);

    /// <summary>
    /// How far the state of the page at <paramref name="address"/> lasts: passes over all memory step from run to run instead of from page to page. A run may end before the
    /// state changes; it never spans two states.
    /// </summary>
    /// <param name="address">Where to start; the run starts at its page.</param>
    /// <param name="maxLength">The caller's limit in bytes, rounded up to whole pages; at least one page is always looked at.</param>
    public virtual PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        var start = address.PageStart;
        var state = StateOf(start);
        var length = (ulong)Page.Size;
        while (length < maxLength && StateOf(start + length) == state)
            length += Page.Size;
        return new PageRun(new PhysicalRange(start, length), state);
    }

    /// <summary>A hint that this part is about to be read from front to back. Costs nothing where it can't help.</summary>
    public virtual void Prefetch(PhysicalAddress address, ulong length)
    {
    }

    /// <summary>Copies bytes from <paramref name="address"/> on and stops at the first page that has none.</summary>
    /// <returns>Bytes copied: 0 to the length of <paramref name="destination"/>.</returns>
    public abstract int Read(PhysicalAddress address, Span<byte> destination);

    /// <summary>
    /// Bytes at <paramref name="address"/> without a copy, as far as the source maps them contiguously; empty where it cannot (then <see cref="Read"/>).
    /// The span is valid until this object is disposed.
    /// </summary>
    /// <param name="address">Guest-physical address.</param>
    /// <param name="maxLength">The caller's limit; the result may be shorter.</param>
    public virtual ReadOnlySpan<byte> Map(PhysicalAddress address, int maxLength) => default;

    /// <summary>
    /// Reads many scattered pages in one batch. Page i lands at <c>destination[i * 4096]</c>; pages that can't be read are zero-filled and say so in <paramref name="states"/>.
    /// </summary>
    /// <param name="pages">Page addresses (offsets within the page are ignored), in any order.</param>
    /// <param name="destination">At least 4096 bytes a page.</param>
    /// <param name="states">One a page.</param>
    /// <returns>How many pages were readable.</returns>
    public virtual int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        var readable = 0;
        for (var i = 0; i < pages.Length; i++)
        {
            var target = destination.Slice(i * Page.Size, Page.Size);
            states[i] = StateOf(pages[i]);
            if (states[i] == PageState.Present && Read(pages[i].PageStart, target) == Page.Size)
            {
                readable++;
                continue;
            }
            target.Clear();
            if (states[i] == PageState.Zero)
                readable++;
            else if (states[i] == PageState.Present)
                states[i] = PageState.Missing;
        }
        return readable;
    }

    /// <summary>Fills all of <paramref name="destination"/> or fails.</summary>
    public bool TryRead(PhysicalAddress address, Span<byte> destination) => Read(address, destination) == destination.Length;

    /// <summary>Reads one little-endian value of fixed size.</summary>
    public bool TryRead<T>(PhysicalAddress address, out T value)
        where T : unmanaged
    {
        value = default;
        return TryRead(address, MemoryMarshal.AsBytes(new Span<T>(ref value)));
    }

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
    }
}
