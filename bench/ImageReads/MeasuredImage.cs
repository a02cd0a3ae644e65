using System.Diagnostics;
using Forengate.Memory;

namespace Forengate.ImageReads;

/// <summary>One image file and what was measured on it.</summary>
internal sealed class MeasuredImage(string name, string path)
{
    private const int PagesRead = 20_000;

    private static readonly PatternSet Patterns = new([new BytePattern("Proc"u8, 16, 4), new BytePattern("Thre"u8, 16, 4), new BytePattern("MmLd"u8, 16, 4)]);

    private readonly List<double> _open = [];
    private readonly List<double> _reads = [];
    private readonly List<double> _parallel = [];
    private readonly List<double> _pass = [];

    public string Name => name;

    public long FileBytes => new FileInfo(path).Length;

    /// <summary>Median time to open, the index made or read.</summary>
    public TimeSpan Open => TimeSpan.FromSeconds(Median(_open));

    /// <summary>Random pages a second, one thread.</summary>
    public double Reads => Median(_reads);

    /// <summary>Random pages a second, a thread a core.</summary>
    public double ParallelReads => Median(_parallel);

    /// <summary>Bytes of guest memory a second in a pass for patterns over all of it.</summary>
    public double Pass => Median(_pass);

    /// <summary>A digest of each page that was read, in order: the same for two images of one memory, but for what a dump's writer put there.</summary>
    public List<ulong> Digests { get; } = [];

    /// <summary>End of the image's last range below 2 GiB.</summary>
    public ulong End()
    {
        using var view = ImageReader.Open(path);
        return view.Memory.Ranges.Last(range => range.Start.Value < 1UL << 31).End.Value;
    }

    /// <param name="seed">Says which pages.</param>
    /// <param name="end">Pages are read below it: all images hold them.</param>
    /// <param name="counted">False for a round that only warms up.</param>
    public void Measure(int seed, ulong end, bool counted)
    {
        var clock = Stopwatch.StartNew();
        using var view = ImageReader.Open(path);
        var open = clock.Elapsed.TotalSeconds;
        // First the pass: behind it the file is mapped, and random reads show the reader's work and not the kernel's.
        clock.Restart();
        new MemoryPass { Patterns = Patterns, OnHit = static _ => { } }.Run(view.Memory);
        var pass = view.Memory.Size / clock.Elapsed.TotalSeconds;

        var pages = RandomPages(end, seed);

        clock.Restart();
        Read(view.Memory, pages, Digests);
        var reads = pages.Length / clock.Elapsed.TotalSeconds;

        pages = RandomPages(end, seed + 1000);
        clock.Restart();
        var share = pages.Length / Environment.ProcessorCount;
        Parallel.For(0, Environment.ProcessorCount, core => Read(view.Memory, pages.AsSpan(core * share, share), []));
        var parallel = pages.Length / clock.Elapsed.TotalSeconds;

        if (!counted)
            return;
        _open.Add(open);
        _reads.Add(reads);
        _parallel.Add(parallel);
        _pass.Add(pass);
    }

    /// <summary>The same pages for every image of the same memory.</summary>
    private static PhysicalAddress[] RandomPages(ulong end, int seed)
    {
        // RAM of the guests measured lies from 1 MiB on without a hole; the first megabyte differs between producers (firmware).
        const ulong First = 1 << 20;
        var random = new Random(seed);
        var pages = new PhysicalAddress[PagesRead];
        for (var i = 0; i < pages.Length; i++)
            pages[i] = new PhysicalAddress((First + (ulong)random.NextInt64((long)(end - First))) & ~(ulong)(Page.Size - 1));
        return pages;
    }

    private static void Read(PhysicalMemory memory, ReadOnlySpan<PhysicalAddress> pages, List<ulong> digests)
    {
        Span<byte> buffer = stackalloc byte[Page.Size];
        foreach (var page in pages)
            digests.Add(memory.TryRead(page, buffer) ? BitConverter.ToUInt64(buffer[64..]) ^ BitConverter.ToUInt64(buffer[4000..]) : ulong.MaxValue);
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return values.Count == 0 ? double.NaN : values[values.Count / 2];
    }
}
