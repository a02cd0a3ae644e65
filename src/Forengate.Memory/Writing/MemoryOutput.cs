using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Microsoft.Win32.SafeHandles;

namespace Forengate.Memory;

/// <summary>
/// Writes an output that is made of headers and memory as it is: to a file by several threads, each at its place and with holes for pages of zeros; to a stream from front to back.
/// </summary>
internal static class MemoryOutput
{
    /// <summary>What a thread takes at a time.</summary>
    private const ulong ChunkSize = 4UL << 20;

    /// <summary>Chunks of a stream: several are unpacked at once and held until their turn.</summary>
    private const ulong StreamChunkSize = 1UL << 20;

    /// <summary>Copied at once where the source cannot be mapped; stays in the CPU's cache.</summary>
    private const int BufferSize = 512 << 10;

    /// <summary>More threads than this only wait for memory or disk.</summary>
    private const int MaxThreads = 8;

    private const int ReportEveryMs = 100;

    private static readonly byte[] s_zeros = new byte[1 << 20];

    /// <summary>Writes all parts, in their order.</summary>
    /// <returns>What became of the pages.</returns>
    public static OutputTally Write(
        PhysicalMemory memory, IReadOnlyList<OutputPart> parts, Stream output, ImageWriteOptions options, IProgress<ImageWriteProgress>? progress, CancellationToken cancellation)
    {
        var tally = new OutputTally();
        var total = parts.Aggregate(0UL, (sum, part) => sum + part.Memory.Length);
        var threads = Math.Clamp(options.Threads > 0 ? options.Threads : Environment.ProcessorCount, 1, MaxThreads);
        if (output is FileStream { CanSeek: true } file)
            WriteFile(memory, parts, file, threads, tally, () => progress?.Report(new ImageWriteProgress(tally.Done, total)), cancellation);
        else
            WriteStream(memory, parts, output, threads, tally, () => progress?.Report(new ImageWriteProgress(tally.Done, total)), cancellation);
        progress?.Report(new ImageWriteProgress(tally.Done, total));
        return tally;
    }

    private static void WriteFile(
        PhysicalMemory memory, IReadOnlyList<OutputPart> parts, FileStream output, int threads, OutputTally tally, Action report, CancellationToken cancellation)
    {
        var file = output.SafeFileHandle;
        var start = output.Position;
        var end = start + (long)parts.Aggregate(0UL, (sum, part) => sum + part.Length);
        // The whole size first: everything not written is a hole.
        RandomAccess.SetLength(file, start);
        RandomAccess.SetLength(file, end);
        var chunks = new List<(PhysicalRange Range, long Offset)>();
        var offset = start;
        foreach (var part in parts)
        {
            if (!part.Bytes.IsEmpty)
                RandomAccess.Write(file, part.Bytes.Span, offset);
            foreach (var stored in Stored(memory, part.Memory, tally, cancellation))
                chunks.AddRange(Chunks(stored, ChunkSize).Select(chunk => (chunk, offset + (long)(chunk.Start - part.Memory.Start))));
            offset += (long)part.Length;
        }

        var next = -1;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var tasks = new Task[Math.Min(threads, Math.Max(1, chunks.Count))];
        for (var i = 0; i < tasks.Length; i++)
            tasks[i] = Task.Factory.StartNew(Work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        WaitAll(tasks, report);
        cancellation.ThrowIfCancellationRequested();
        output.Position = end;

        void Work()
        {
            var buffer = GC.AllocateUninitializedArray<byte>(BufferSize);
            try
            {
                for (var i = Interlocked.Increment(ref next); i < chunks.Count; i = Interlocked.Increment(ref next))
                {
                    var (range, at) = chunks[i];
                    memory.Prefetch(range.Start, range.Length);
                    for (var here = range.Start; here < range.End;)
                    {
                        stop.Token.ThrowIfCancellationRequested();
                        var taken = Take(memory, new PhysicalRange(here, range.End - here), buffer, tally, out var bytes);
                        tally.Add(taken, bytes.IsEmpty ? taken >> Page.Shift : PutNonZero(file, bytes, at + (long)(here - range.Start)));
                        here += taken;
                    }
                }
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                stop.Cancel();
                throw;
            }
        }
    }

    private static void WriteStream(
        PhysicalMemory memory, IReadOnlyList<OutputPart> parts, Stream output, int threads, OutputTally tally, Action report, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var reported = 0L;
        var held = new Lazy<byte[][]>(() => [.. Enumerable.Range(0, threads).Select(_ => GC.AllocateUninitializedArray<byte>((int)StreamChunkSize))]);
        foreach (var part in parts)
        {
            output.Write(part.Bytes.Span);
            PutZeros(output, part.Zeros, cancellation);
            foreach (var group in Chunks(part.Memory, StreamChunkSize).Chunk(threads))
            {
                // What is mapped is written from where it lies; what must be unpacked or fetched is made ready by all threads, and written in its turn.
                if (!Array.Exists(group, chunk => IsPacked(memory, chunk)))
                {
                    foreach (var chunk in group)
                        PutChunk(memory, chunk, output, held, tally, cancellation);
                }
                else
                {
                    Parallel.For(0, group.Length, new ParallelOptions { CancellationToken = cancellation }, i => Fill(memory, group[i], held.Value[i].AsSpan(0, (int)group[i].Length), tally, cancellation));
                    for (var i = 0; i < group.Length; i++)
                        output.Write(held.Value[i].AsSpan(0, (int)group[i].Length));
                }
                if (clock.ElapsedMilliseconds - reported >= ReportEveryMs)
                {
                    reported = clock.ElapsedMilliseconds;
                    report();
                }
            }
        }
        output.Flush();
    }

    /// <summary>True when the first bytes of a chunk can't be handed out as they lie in the source; zeros before them don't matter.</summary>
    private static bool IsPacked(PhysicalMemory memory, PhysicalRange chunk)
    {
        var run = memory.RunAt(chunk.Start, chunk.Length);
        if (run.State != PageState.Present && run.Range.End < chunk.End)
            run = memory.RunAt(run.Range.End, chunk.End - run.Range.End);
        return run.State == PageState.Present && memory.Map(run.Range.Start, Page.Size).IsEmpty;
    }

    private static void PutChunk(PhysicalMemory memory, PhysicalRange chunk, Stream output, Lazy<byte[][]> held, OutputTally tally, CancellationToken cancellation)
    {
        memory.Prefetch(chunk.Start, chunk.Length);
        for (var here = chunk.Start; here < chunk.End;)
        {
            cancellation.ThrowIfCancellationRequested();
            var taken = Take(memory, new PhysicalRange(here, chunk.End - here), held.Value[0], tally, out var bytes);
            if (bytes.IsEmpty)
                PutZeros(output, taken, cancellation);
            else
                output.Write(bytes);
            tally.Add(taken, bytes.IsEmpty ? taken >> Page.Shift : CountZeroPages(bytes));
            here += taken;
        }
    }

    private static void Fill(PhysicalMemory memory, PhysicalRange chunk, Span<byte> target, OutputTally tally, CancellationToken cancellation)
    {
        for (var here = chunk.Start; here < chunk.End;)
        {
            cancellation.ThrowIfCancellationRequested();
            var rest = target[(int)(here - chunk.Start)..];
            var taken = Take(memory, new PhysicalRange(here, chunk.End - here), rest, tally, out var bytes);
            var place = rest[..(int)taken];
            if (bytes.IsEmpty)
                place.Clear();
            else if (!bytes.Overlaps(place))
                bytes.CopyTo(place);
            tally.Add(taken, bytes.IsEmpty ? taken >> Page.Shift : CountZeroPages(place));
            here += taken;
        }
    }

    /// <summary>The next pages of a range, in a piece as large as the source gives them; empty for pages without bytes, which become zeros.</summary>
    /// <returns>Bytes of memory that the piece stands for, never 0.</returns>
    private static ulong Take(PhysicalMemory memory, PhysicalRange range, Span<byte> buffer, OutputTally tally, out ReadOnlySpan<byte> bytes)
    {
        bytes = default;
        var run = memory.RunAt(range.Start, range.Length);
        var length = Math.Min(run.Range.End - range.Start, range.Length);
        if (run.State != PageState.Present)
        {
            if (run.State != PageState.Zero)
                tally.AddMissing(range with { Length = length });
            return length;
        }
        bytes = memory.Map(range.Start, (int)length);
        if (bytes.Length < Page.Size)
        {
            var target = buffer[..(int)Math.Min((ulong)buffer.Length, length)];
            bytes = target[..memory.Read(range.Start, target)];
        }
        var whole = bytes.Length & ~(Page.Size - 1);
        bytes = bytes[..whole];
        if (whole != 0)
            return (ulong)whole;
        // It said it had bytes and gave none: a damaged packed page, or a live source that lost it under way.
        tally.AddMissing(range with { Length = Page.Size });
        return Page.Size;
    }

    /// <summary>Writes what is not zero, in pieces as large as may be.</summary>
    /// <returns>Pages of zeros, which were left out.</returns>
    private static ulong PutNonZero(SafeFileHandle file, ReadOnlySpan<byte> bytes, long offset)
    {
        var zero = 0UL;
        for (var at = 0; at < bytes.Length;)
        {
            var run = ZeroPages.Run(bytes[at..], out var isZero);
            if (isZero)
                zero += (ulong)run >> Page.Shift;
            else
                RandomAccess.Write(file, bytes.Slice(at, run), offset + at);
            at += run;
        }
        return zero;
    }

    private static ulong CountZeroPages(ReadOnlySpan<byte> bytes)
    {
        var zero = 0UL;
        for (var at = 0; at < bytes.Length; at += Page.Size)
            zero += ZeroPages.IsZero(bytes.Slice(at, Page.Size)) ? 1UL : 0;
        return zero;
    }

    private static void PutZeros(Stream output, ulong count, CancellationToken cancellation)
    {
        for (var left = count; left > 0;)
        {
            cancellation.ThrowIfCancellationRequested();
            var piece = (int)Math.Min(left, (ulong)s_zeros.Length);
            output.Write(s_zeros.AsSpan(0, piece));
            left -= (ulong)piece;
        }
    }

    private static IEnumerable<PhysicalRange> Chunks(PhysicalRange range, ulong size)
    {
        for (var done = 0UL; done < range.Length; done += size)
            yield return new PhysicalRange(range.Start + done, Math.Min(size, range.Length - done));
    }

    /// <summary>The pages that the source holds bytes for; the others, which may be very many and are nothing to write, are counted at once.</summary>
    private static IEnumerable<PhysicalRange> Stored(PhysicalMemory memory, PhysicalRange range, OutputTally tally, CancellationToken cancellation)
    {
        for (var here = range.Start; here < range.End;)
        {
            cancellation.ThrowIfCancellationRequested();
            var run = memory.RunAt(here, range.End - here);
            var part = new PhysicalRange(here, Math.Min(run.Range.End - here, range.End - here));
            if (run.State == PageState.Present)
            {
                yield return part;
            }
            else
            {
                if (run.State != PageState.Zero)
                    tally.AddMissing(part);
                tally.Add(part.Length, part.PageCount);
            }
            here = part.End;
        }
    }

    /// <summary>Waits for all to end; the first failure that is no mere consequence of another is thrown as it was.</summary>
    private static void WaitAll(Task[] tasks, Action report)
    {
        var all = Task.WhenAll(tasks);
        while (!((IAsyncResult)all).AsyncWaitHandle.WaitOne(ReportEveryMs))
            report();
        if (all.Exception is { } failure)
        {
            var inner = failure.Flatten().InnerExceptions;
            ExceptionDispatchInfo.Throw(inner.FirstOrDefault(e => e is not OperationCanceledException) ?? inner[0]);
        }
    }
}
