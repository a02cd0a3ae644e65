using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Guest RAM read by libvirt's memory peek, from wherever the daemon is: each call costs a round trip, a command of QEMU's monitor and a file on the daemon's host. So memory is fetched in
/// clusters of pages and those are kept, also where the guest runs: then a page is as it was when it was first looked at.
/// </summary>
public sealed class PeekMemory : PhysicalMemory
{
    /// <summary>The remote protocol's limit a call (REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX); libvirt before 1.0 had 64 KiB.</summary>
    private const int MostAtOnce = 4 << 20;
    private const int MostAtOnceBefore = 64 << 10;

    /// <summary>A call for these costs hardly more than one for a page, and lists lie close together.</summary>
    private const int Cluster = 64 << 10;

    /// <summary>256 MiB.</summary>
    private const int MostClusters = 4096;

    private readonly LibvirtMonitor _monitor;
    private readonly PhysicalRange[] _ranges;
    private readonly ulong[] _starts;
    private readonly Lock _turn = new();
    private readonly Dictionary<ulong, LinkedListNode<(ulong Start, byte[] Bytes)>> _clusters = [];
    private readonly LinkedList<(ulong Start, byte[] Bytes)> _used = new();
    private int _most = MostAtOnce;
    private GuestException? _failure;

    /// <param name="monitor">Not owned.</param>
    /// <param name="ranges">RAM, ascending and disjoint, in whole pages. Nothing else is ever asked for: reading a device may change it.</param>
    internal PeekMemory(LibvirtMonitor monitor, IEnumerable<PhysicalRange> ranges)
    {
        _monitor = monitor;
        _ranges = [.. ranges];
        _starts = [.. _ranges.Select(range => range.Start.Value)];
    }

    public override IReadOnlyList<PhysicalRange> Ranges => _ranges;

    /// <summary>Why reads have begun to fail; null as long as all is well.</summary>
    public GuestException? Failure => Volatile.Read(ref _failure);

    public override PageState StateOf(PhysicalAddress address) => Failure is null && Find(address) is not null ? PageState.Present : PageState.Missing;

    public override PageRun RunAt(PhysicalAddress address, ulong maxLength)
    {
        if (Failure is null && Find(address.PageStart) is { } range)
        {
            var left = range.Length - (address.PageStart - range.Start);
            return new PageRun(new PhysicalRange(address.PageStart, Math.Min(left, (Math.Max(maxLength, 1) + Page.OffsetMask) & ~(ulong)Page.OffsetMask)), PageState.Present);
        }
        return base.RunAt(address, maxLength);
    }

    public override int Read(PhysicalAddress address, Span<byte> destination)
    {
        var done = 0;
        while (done < destination.Length && Find(address + (ulong)done) is { } range)
        {
            var here = (address + (ulong)done).Value;
            var length = (int)Math.Min((ulong)(destination.Length - done), range.Start.Value + range.Length - here);
            if (!ReadPart(range, here, destination.Slice(done, length)))
                break;
            done += length;
        }
        return done;
    }

    /// <summary>Scattered pages: each cluster is fetched once, whatever the order.</summary>
    public override int ReadPages(ReadOnlySpan<PhysicalAddress> pages, Span<byte> destination, Span<PageState> states)
    {
        var readable = 0;
        for (var i = 0; i < pages.Length; i++)
        {
            var target = destination.Slice(i * Page.Size, Page.Size);
            states[i] = Read(pages[i].PageStart, target) == Page.Size ? PageState.Present : PageState.Missing;
            if (states[i] == PageState.Present)
                readable++;
            else
                target.Clear();
        }
        return readable;
    }

    /// <summary>A stretch within one range. Large ones go past the cache: a pass over memory would only wash it out.</summary>
    private bool ReadPart(in PhysicalRange range, ulong address, Span<byte> destination)
    {
        lock (_turn)
        {
            for (var done = 0; done < destination.Length;)
            {
                var here = address + (ulong)done;
                var left = destination[done..];
                if (left.Length >= MostAtOnceBefore && !_clusters.ContainsKey(here & ~(ulong)(Cluster - 1)))
                {
                    var step = Math.Min(left.Length, _most);
                    if (!Fetch(here, left[..step]))
                        return false;
                    done += step;
                    continue;
                }
                if (ClusterAt(range, here) is not { } cluster)
                    return false;
                var offset = (int)(here - cluster.Start);
                var length = Math.Min(left.Length, cluster.Bytes.Length - offset);
                cluster.Bytes.AsSpan(offset, length).CopyTo(left);
                done += length;
            }
            return true;
        }
    }

    /// <summary>The cluster around an address, cut off at the ends of its range.</summary>
    private (ulong Start, byte[] Bytes)? ClusterAt(in PhysicalRange range, ulong address)
    {
        var aligned = address & ~(ulong)(Cluster - 1);
        if (_clusters.TryGetValue(aligned, out var node) && address >= node.Value.Start && address < node.Value.Start + (ulong)node.Value.Bytes.Length)
        {
            _used.Remove(node);
            _used.AddFirst(node);
            return node.Value;
        }
        var start = Math.Max(aligned, range.Start.Value);
        var end = Math.Min(aligned + Cluster, range.Start.Value + range.Length);
        var bytes = new byte[end - start];
        if (!Fetch(start, bytes))
            return null;
        // Two ranges may meet within a cluster; the newer part takes its place.
        if (node is not null)
            _used.Remove(node);
        _clusters[aligned] = _used.AddFirst((start, bytes));
        if (_used.Count > MostClusters)
        {
            _clusters.Remove(_used.Last!.Value.Start & ~(ulong)(Cluster - 1));
            _used.RemoveLast();
        }
        return (start, bytes);
    }

    private bool Fetch(ulong address, Span<byte> destination)
    {
        if (_failure is not null)
            return false;
        try
        {
            FetchNow(_monitor, address, destination, ref _most);
            return true;
        }
        catch (GuestException e)
        {
            Volatile.Write(ref _failure, e);
            return false;
        }
    }

    /// <summary>Reads a stretch by as many calls as it takes.</summary>
    internal static void FetchNow(LibvirtMonitor monitor, ulong address, Span<byte> destination)
    {
        var most = MostAtOnce;
        FetchNow(monitor, address, destination, ref most);
    }

    private static unsafe void FetchNow(LibvirtMonitor monitor, ulong address, Span<byte> destination, ref int most)
    {
        fixed (byte* target = destination)
        {
            for (var done = 0; done < destination.Length;)
            {
                var step = Math.Min(most, destination.Length - done);
                // The call goes to another thread, which may be left behind with the buffer when libvirt hangs: it gets one of its own.
                var buffer = new byte[step];
                var at = address + (ulong)done;
                try
                {
                    LibvirtCall.Run("reading memory", () => { monitor.Domain.Peek(at, buffer); return true; }, CancellationToken.None);
                }
                catch (GuestException e) when (most > MostAtOnceBefore && IsTooLarge(e))
                {
                    most = MostAtOnceBefore;
                    continue;
                }
                buffer.CopyTo(new Span<byte>(target + done, step));
                done += step;
            }
        }
    }

    private static bool IsTooLarge(GuestException failure) =>
        failure.Message.Contains("too large", StringComparison.Ordinal) || failure.Message.Contains("maximum buffer size", StringComparison.Ordinal);

    private PhysicalRange? Find(PhysicalAddress address)
    {
        var at = Array.BinarySearch(_starts, address.Value);
        if (at < 0)
            at = ~at - 1;
        return at >= 0 && _ranges[at].Contains(address) ? _ranges[at] : null;
    }
}
