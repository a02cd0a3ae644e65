using System.Buffers;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>One pass over all of a view's memory, on all cores, in spans of whole pages that have bytes.</summary>
internal static class PageScan
{
    /// <summary>Bytes handed out at a time, at most.</summary>
    private const int ChunkSize = 1 << 20;

    /// <summary>Looks at memory from <paramref name="start"/> on. Called on several threads at once.</summary>
    public delegate void Visitor(PhysicalAddress start, ReadOnlySpan<byte> bytes);

    public static void Run(PhysicalMemory memory, Visitor visit, CancellationToken ct, IProgress<double>? progress = null)
    {
        var chunks = new List<PhysicalRange>();
        foreach (var range in memory.Ranges)
        {
            for (var done = 0UL; done < range.Length; done += ChunkSize)
                chunks.Add(new PhysicalRange(range.Start + done, Math.Min(ChunkSize, range.Length - done)));
        }
        var finished = 0;
        Parallel.For(
            0, chunks.Count, new ParallelOptions { CancellationToken = ct },
            index =>
            {
                Visit(memory, chunks[index], visit);
                var now = Interlocked.Increment(ref finished);
                if (progress is not null && (now % 64 == 0 || now == chunks.Count))
                    progress.Report((double)now / chunks.Count);
            });
    }

    private static void Visit(PhysicalMemory memory, PhysicalRange chunk, Visitor visit)
    {
        byte[]? rented = null;
        for (var at = chunk.Start; at < chunk.End;)
        {
            var left = (int)(chunk.End - at);
            var mapped = memory.Map(at, left);
            if (mapped.Length >= Page.Size)
            {
                var whole = mapped.Length & ~(Page.Size - 1);
                visit(at, mapped[..whole]);
                at += (ulong)whole;
                continue;
            }
            rented ??= ArrayPool<byte>.Shared.Rent(ChunkSize);
            var got = memory.Read(at, rented.AsSpan(0, left)) & ~(Page.Size - 1);
            if (got > 0)
                visit(at, rented.AsSpan(0, got));
            at += (ulong)Math.Max(got, Page.Size);
        }
        if (rented is not null)
            ArrayPool<byte>.Shared.Return(rented);
    }
}
