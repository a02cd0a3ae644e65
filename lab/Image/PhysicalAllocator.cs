namespace Forengate.Lab.Image;

/// <summary>Hands out pages of RAM: scattered ones in clusters (so that an image stays in few runs), whole runs, and large pages from the top down.</summary>
internal sealed class PhysicalAllocator
{
    private const ulong Page = GuestRam.PageSize;
    private const ulong LargePage = 0x200000;
    /// <summary>Pages below are left to what boot puts there: the low stub, the system's DTB, the first boot pages.</summary>
    private const ulong FirstGeneral = 0x700000;
    private const int ClusterPages = 64;
    private readonly SeededRandom _random;
    private readonly Zone _low;
    private readonly Zone? _high;

    public PhysicalAllocator(GuestRam ram, SeededRandom random)
    {
        Ram = ram;
        _random = random;
        // The end of low memory is the firmware's (PhysicalMemoryBlock): Windows has no page there, small or large.
        _low = new Zone(FirstGeneral, (ram.LowSize - PhysicalMemoryBlock.FirmwarePages * Page) & ~(LargePage - 1));
        if (ram.HighSize >= 8 * LargePage)
            _high = new Zone(GuestRam.HighBase, GuestRam.HighBase + (ram.HighSize & ~(LargePage - 1)));
    }

    public GuestRam Ram { get; }

    /// <summary>Whether a page was handed out (or lies where boot keeps it).</summary>
    public bool IsFree(ulong address) => _low.IsFree(address) || (_high?.IsFree(address) ?? false);

    /// <summary>One page, out of order within a cluster, below or above the hole.</summary>
    public ulong AllocatePage()
    {
        var zone = Choose(Page * ClusterPages);
        if (zone.Cluster.Count == 0)
        {
            var start = zone.Bottom;
            var count = (int)Math.Min(ClusterPages, (zone.Top - start) / Page);
            if (count == 0)
                throw OutOfMemory();
            var pages = new ulong[count];
            for (var i = 0; i < count; i++)
                pages[i] = start + (ulong)i * Page;
            _random.Shuffle<ulong>(pages);
            foreach (var page in pages)
                zone.Cluster.Push(page);
            zone.Bottom = start + (ulong)count * Page;
        }
        return zone.Cluster.Pop();
    }

    /// <summary>A run of pages that lie one behind the other.</summary>
    public ulong AllocateRun(int pages, bool low = false)
    {
        var bytes = (ulong)pages * Page;
        var zone = low ? _low : Choose(bytes);
        if (zone.Top - zone.Bottom < bytes)
            throw OutOfMemory();
        var start = zone.Bottom;
        zone.Bottom += bytes;
        return start;
    }

    /// <summary>A 2 MiB page.</summary>
    public ulong AllocateLarge()
    {
        var zone = Choose(LargePage);
        if (zone.Top - zone.Bottom < LargePage)
            throw OutOfMemory();
        zone.Top -= LargePage;
        return zone.Top;
    }

    private Zone Choose(ulong bytes)
    {
        if (_high is null)
            return _low;
        var first = _random.Chance(60) ? _high : _low;
        var second = first == _high ? _low : _high;
        return first.Cluster.Count > 0 || first.Top - first.Bottom >= bytes ? first : second;
    }

    private ImageException OutOfMemory() =>
        new($"{Ram.Size >> 20} MiB are not enough for what the guest shall hold: give it more memory, or fewer processes");

    private sealed class Zone(ulong bottom, ulong top)
    {
        private readonly ulong _end = top;
        private readonly ulong _start = bottom;

        public ulong Bottom { get; set; } = bottom;
        public ulong Top { get; set; } = top;
        public Stack<ulong> Cluster { get; } = new();

        public bool IsFree(ulong address) => address >= _start && address < _end && address >= Bottom && address < Top;
    }
}
