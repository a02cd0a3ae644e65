using System.Runtime.ExceptionServices;

namespace Forengate.Memory;

/// <summary>
/// One pass over all memory, on all cores, for whatever looks at it: patterns, pages, or both. Costs about one reading of memory. Pages known to be zero and pages without bytes are
/// skipped without being touched; mapped memory is looked at where it lies, other memory through buffers of 1 MiB.
/// </summary>
/// <remarks>
/// A pattern is found wherever its bytes lie side by side in guest-physical memory, over page and chunk edges too, and is reported once. Objects set here are called from several threads at
/// once.
/// </remarks>
public sealed class MemoryPass
{
    /// <summary>What <see cref="OnHit"/> is called for; null: no patterns.</summary>
    public PatternSet? Patterns { get; init; }

    /// <summary>Called for each hit, from several threads at once, in no order.</summary>
    public Action<PatternHit>? OnHit { get; init; }

    /// <summary>Called for each page that has bytes; null: no page is looked at as a whole.</summary>
    public IPageVisitor? Pages { get; init; }

    /// <summary>Threads; 1 runs the pass on the caller's.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <summary>Told about every 64 MiB.</summary>
    public IProgress<MemoryPassProgress>? Progress { get; init; }

    /// <summary>Widest vectors used, in bytes: 64, 32, or 0 for the scalar twin. Set by tests; the CPU decides otherwise.</summary>
    internal int VectorBytes { get; init; } = 64;

    /// <summary>Looks for patterns and returns the hits in ascending order.</summary>
    /// <param name="memory">Where.</param>
    /// <param name="patterns">What.</param>
    /// <param name="maxHits">Memory is hostile, it may consist of hits: the pass ends when there are so many.</param>
    /// <param name="isComplete">False when there were more than <paramref name="maxHits"/>: which ones are then left out is chance.</param>
    /// <param name="cancellation">Ends the pass between chunks.</param>
    public static PatternHit[] Find(PhysicalMemory memory, PatternSet patterns, int maxHits, out bool isComplete, CancellationToken cancellation = default)
    {
        var hits = new List<PatternHit>();
        using var full = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var overflow = false;
        var pass = new MemoryPass
        {
            Patterns = patterns,
            OnHit = hit =>
            {
                lock (hits)
                {
                    if (hits.Count < maxHits)
                    {
                        hits.Add(hit);
                        return;
                    }
                    if (overflow)
                        return;
                    overflow = true;
                }
                full.Cancel();
            },
        };
        try
        {
            pass.Run(memory, full.Token);
        }
        catch (OperationCanceledException) when (overflow && !cancellation.IsCancellationRequested)
        {
        }
        isComplete = !overflow;
        hits.Sort();
        return [.. hits];
    }

    /// <summary>Runs the pass.</summary>
    /// <exception cref="OperationCanceledException">Cancelled; what was found until then was reported.</exception>
    /// <remarks>What a visitor or hit handler throws ends the pass and is thrown here.</remarks>
    public void Run(PhysicalMemory memory, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentOutOfRangeException.ThrowIfLessThan(Workers, 1, nameof(Workers));
        cancellation.ThrowIfCancellationRequested();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var source = new ChunkSource(memory, Progress);
        ExceptionDispatchInfo? failure = null;
        void Work()
        {
            try
            {
                using var worker = new MemoryPassWorker(this, memory);
                while (source.TryTake(out var chunk))
                {
                    stop.Token.ThrowIfCancellationRequested();
                    worker.Look(chunk, stop.Token);
                }
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
                stop.Cancel();
            }
        }

        // Threads of their own: handlers may block on a live source, and the pool belongs to the caller.
        var threads = new Thread[Workers - 1];
        for (var i = 0; i < threads.Length; i++)
        {
            threads[i] = new Thread(Work) { IsBackground = true, Name = "memory pass" };
            threads[i].Start();
        }
        Work();
        foreach (var thread in threads)
            thread.Join();
        cancellation.ThrowIfCancellationRequested();
        failure?.Throw();
        source.ReportEnd();
    }
}
