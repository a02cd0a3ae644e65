using System.Diagnostics;
using Forengate.Memory;
using Microsoft.Win32.SafeHandles;

namespace Forengate.Dumps;

/// <summary>Writes a planned dump to a file or a stream.</summary>
public static class DumpWriter
{
    /// <summary>How many ranges of missing pages a result names.</summary>
    public const int MissingRangesNamed = 64;

    /// <summary>The path that means standard output.</summary>
    public const string StandardOutput = "-";

    /// <summary>STDOUT_FILENO of POSIX.</summary>
    private const int StandardOutputDescriptor = 1;

    /// <summary>What a thread takes at a time.</summary>
    private const ulong ChunkPages = (4UL << 20) / Page.Size;

    /// <summary>More threads than this only wait for memory or disk.</summary>
    private const int MaxThreads = 8;

    private const int ReportEveryMs = 100;

    private static readonly byte[] s_zeros = new byte[1 << 20];

    /// <summary>
    /// Writes the dump. Beside its place first, and renamed when it is whole: on failure, or when cancelled, nothing is left and a file that was there before is untouched.
    /// Pages of zeros become holes.
    /// </summary>
    /// <param name="plan">What to write; its view must be open.</param>
    /// <param name="path">A file's path; what is no regular file (a pipe, a device) is written as a stream; <c>-</c> is standard output.</param>
    /// <param name="progress">Told about ten times a second.</param>
    /// <param name="ct">Ends it within some milliseconds.</param>
    /// <exception cref="DumpWriteException">It could not be written; one line says why.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static DumpResult Write(DumpPlan plan, string path, IProgress<DumpProgress>? progress = null, CancellationToken ct = default)
    {
        if (path == StandardOutput)
        {
            // Not Console's stream: that one swallows the error of a reader who went away.
            using var handle = new SafeFileHandle(StandardOutputDescriptor, ownsHandle: false);
            using var output = new FileStream(handle, FileAccess.Write, bufferSize: 0);
            return Write(plan, output, path, progress, ct);
        }
        try
        {
            if (UnixFileKind.IsStream(path))
            {
                using var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
                return Write(plan, stream, path, progress, ct);
            }
            return WriteFile(plan, path, progress, ct);
        }
        catch (Exception e) when (e is IOException and not DumpWriteException or UnauthorizedAccessException)
        {
            throw Explain(e, path, 0, plan.FileSize);
        }
    }

    /// <summary>Writes the dump from first byte to last, without seeking; zeros are written out.</summary>
    /// <param name="plan">What to write.</param>
    /// <param name="stream">Not closed.</param>
    /// <param name="name">For messages and the result.</param>
    /// <param name="progress">Told about ten times a second.</param>
    /// <param name="ct">Ends it between two pieces.</param>
    /// <inheritdoc cref="Write(DumpPlan, string, IProgress{DumpProgress}?, CancellationToken)" path="/exception"/>
    public static DumpResult Write(DumpPlan plan, Stream stream, string name, IProgress<DumpProgress>? progress = null, CancellationToken ct = default)
    {
        var clock = Stopwatch.StartNew();
        var tally = new PageTally();
        var feed = new PageFeed(plan.Memory, tally);
        var reported = 0L;
        try
        {
            stream.Write(plan.Header.Span);
            stream.Write(plan.Bitmap.Span);
            tally.AddDone(plan.FirstPage);
            foreach (var run in plan.Stored)
            {
                for (var done = 0UL; done < run.PageCount; done += ChunkPages)
                {
                    feed.Run(run.BasePage + done, Math.Min(ChunkPages, run.PageCount - done), Put, ct);
                    if (clock.ElapsedMilliseconds - reported >= ReportEveryMs)
                    {
                        reported = clock.ElapsedMilliseconds;
                        Report(progress, tally, plan, clock);
                    }
                }
            }
            stream.Flush();
        }
        catch (IOException e)
        {
            throw Explain(e, name, tally.Done, plan.FileSize);
        }
        Report(progress, tally, plan, clock);
        return Result(plan, name, tally, clock);

        void Put(ulong frame, ulong pages, ReadOnlySpan<byte> bytes)
        {
            if (bytes.IsEmpty)
            {
                tally.AddZero(pages);
                for (var left = pages << Page.Shift; left > 0;)
                {
                    var piece = (int)Math.Min(left, (ulong)s_zeros.Length);
                    stream.Write(s_zeros.AsSpan(0, piece));
                    left -= (ulong)piece;
                }
            }
            else
            {
                tally.AddZero(CountZeroPages(bytes));
                stream.Write(bytes);
            }
            tally.AddDone(pages << Page.Shift);
        }
    }

    private static DumpResult WriteFile(DumpPlan plan, string path, IProgress<DumpProgress>? progress, CancellationToken ct)
    {
        var clock = Stopwatch.StartNew();
        var tally = new PageTally();
        using var file = PartialFile.Create(path);
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(ct);
        var chunks = Chunks(plan);
        var next = -1;
        try
        {
            // The whole size first: everything not written is a hole.
            RandomAccess.SetLength(file.Handle, (long)plan.FileSize);
            RandomAccess.Write(file.Handle, plan.Header.Span, 0);
            RandomAccess.Write(file.Handle, plan.Bitmap.Span, plan.Header.Length);
            tally.AddDone(plan.FirstPage);

            var threads = Math.Min(Math.Min(Environment.ProcessorCount, MaxThreads), Math.Max(1, chunks.Count));
            var tasks = new Task[threads];
            for (var i = 0; i < threads; i++)
                tasks[i] = Task.Factory.StartNew(Work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            while (!WaitAll(tasks))
                Report(progress, tally, plan, clock);
            ct.ThrowIfCancellationRequested();
            if ((plan.View.Memory as WatchedMemory)?.Measure() is { } smear)
                RandomAccess.Write(file.Handle, plan.CommentBytes(smear.Brief, out var at), at);
            file.Finish();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Explain(e, path, tally.Done, plan.FileSize);
        }
        Report(progress, tally, plan, clock);
        return Result(plan, path, tally, clock);

        void Work()
        {
            var feed = new PageFeed(plan.Memory, tally);
            try
            {
                for (var i = Interlocked.Increment(ref next); i < chunks.Count; i = Interlocked.Increment(ref next))
                {
                    var chunk = chunks[i];
                    var shift = (long)chunk.FileOffset - (long)(chunk.Frame << Page.Shift);
                    feed.Run(chunk.Frame, chunk.Pages, (frame, pages, bytes) => Put(file.Handle, (long)(frame << Page.Shift) + shift, pages, bytes, tally), failed.Token);
                }
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                failed.Cancel();
                throw;
            }
        }
    }

    /// <summary>Writes what is not zero, in pieces as large as may be.</summary>
    private static void Put(SafeFileHandle file, long offset, ulong pages, ReadOnlySpan<byte> bytes, PageTally tally)
    {
        if (bytes.IsEmpty)
        {
            tally.AddZero(pages);
            tally.AddDone(pages << Page.Shift);
            return;
        }
        var zero = 0UL;
        for (var at = 0; at < bytes.Length;)
        {
            var start = at;
            while (at < bytes.Length && IsZero(bytes.Slice(at, Page.Size)))
                at += Page.Size;
            zero += (ulong)(at - start) >> Page.Shift;
            start = at;
            while (at < bytes.Length && !IsZero(bytes.Slice(at, Page.Size)))
                at += Page.Size;
            if (at > start)
                RandomAccess.Write(file, bytes[start..at], offset + start);
        }
        tally.AddZero(zero);
        tally.AddDone((ulong)bytes.Length);
    }

    private static bool IsZero(ReadOnlySpan<byte> page) => !page.ContainsAnyExcept((byte)0);

    private static ulong CountZeroPages(ReadOnlySpan<byte> bytes)
    {
        var zero = 0UL;
        for (var at = 0; at < bytes.Length; at += Page.Size)
        {
            if (IsZero(bytes.Slice(at, Page.Size)))
                zero++;
        }
        return zero;
    }

    private static List<(ulong Frame, ulong Pages, ulong FileOffset)> Chunks(DumpPlan plan)
    {
        var chunks = new List<(ulong, ulong, ulong)>();
        var offset = plan.FirstPage;
        foreach (var run in plan.Stored)
        {
            for (var done = 0UL; done < run.PageCount; done += ChunkPages)
            {
                var pages = Math.Min(ChunkPages, run.PageCount - done);
                chunks.Add((run.BasePage + done, pages, offset));
                offset += pages << Page.Shift;
            }
        }
        return chunks;
    }

    /// <summary>Waits a moment; true when all ended. The first failure that is no mere consequence of another is thrown as it was.</summary>
    private static bool WaitAll(Task[] tasks)
    {
        try
        {
            return Task.WaitAll(tasks, ReportEveryMs);
        }
        catch (AggregateException e)
        {
            Task.WhenAll(tasks).ContinueWith(_ => { }, TaskScheduler.Default).Wait();
            var all = e.Flatten().InnerExceptions;
            var first = all.FirstOrDefault(inner => inner is not OperationCanceledException) ?? all[0];
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
            throw;
        }
    }

    private static void Report(IProgress<DumpProgress>? progress, PageTally tally, DumpPlan plan, Stopwatch clock)
    {
        if (progress is null)
            return;
        var done = tally.Done;
        var rate = clock.Elapsed.TotalSeconds > 0 ? done / clock.Elapsed.TotalSeconds : 0;
        TimeSpan? left = rate > 0 ? TimeSpan.FromSeconds((plan.FileSize - done) / rate) : null;
        progress.Report(new DumpProgress(done, plan.FileSize, rate, left));
    }

    private static DumpResult Result(DumpPlan plan, string path, PageTally tally, Stopwatch clock)
    {
        AddLacking(plan, tally);
        return ResultOf(plan, path, tally, clock);
    }

    /// <summary>The pages of the runs that a bitmap dump could not get are as missing as those that others hold as zeros.</summary>
    private static void AddLacking(DumpPlan plan, PageTally tally)
    {
        if (ReferenceEquals(plan.Held, plan.Runs))
            return;
        foreach (var lacking in RangeSets.Subtract(plan.Wanted, [.. plan.Held.Select(run => run.Range)]))
            tally.AddMissing(lacking.Start, lacking.PageCount);
    }

    private static DumpResult ResultOf(DumpPlan plan, string path, PageTally tally, Stopwatch clock) => new()
    {
        Path = path,
        Bytes = plan.FileSize,
        Pages = plan.PageCount,
        ZeroPages = tally.ZeroPages,
        MissingPages = tally.MissingPages,
        MissingRanges = tally.MissingRanges(),
        Duration = clock.Elapsed,
        Plan = plan,
    };

    private static DumpWriteException Explain(Exception e, string path, ulong done, ulong size) => new(WriteFailure.Explain(e, path, done, size), e);
}
