namespace Forengate.Guests;

/// <summary>Threads that copy a guest's memory piece by piece.</summary>
internal static class CopyThreads
{
    /// <summary>What one thread copies at a time where nothing else is said: a multiple of a large page, and a block of a file.</summary>
    public const ulong Chunk = SpillFile.Block;

    /// <summary>Has all pieces worked on, by this thread and others.</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="threads">With this one.</param>
    /// <param name="work">Is given offset and length of a piece.</param>
    /// <param name="ct">Ends it.</param>
    /// <param name="begin">The threads are made at once and begin when this is set; null: at once.</param>
    /// <param name="piece">Bytes that a thread works on at a time.</param>
    /// <exception cref="GuestException">One of them failed.</exception>
    public static void Run(ulong size, int threads, Action<ulong, ulong> work, CancellationToken ct, ManualResetEventSlim? begin = null, ulong piece = Chunk)
    {
        var next = 0L;
        Exception? failure = null;
        void Pieces()
        {
            try
            {
                begin?.Wait(ct);
                for (; ; )
                {
                    var offset = (ulong)(Interlocked.Add(ref next, (long)piece) - (long)piece);
                    // The guest stands still: what can't succeed any more ends at once.
                    if (offset >= size || ct.IsCancellationRequested || Volatile.Read(ref failure) is not null)
                        return;
                    work(offset, Math.Min(piece, size - offset));
                }
            }
            catch (Exception e)
            {
                Volatile.Write(ref failure, e);
            }
        }
        var most = Math.Min(threads, (int)Math.Min(int.MaxValue, (size + piece - 1) / piece)) - 1;
        var others = new List<Thread>();
        while (others.Count < most)
        {
            var other = new Thread(Pieces) { IsBackground = true, Name = "guest copy" };
            try
            {
                other.Start();
            }
            catch (OutOfMemoryException)
            {
                // The host gives no more threads: fewer do it, too.
                break;
            }
            others.Add(other);
        }
        Pieces();
        foreach (var thread in others)
            thread.Join();
        if (failure is GuestException { Failure: GuestFailure.NoDisk })
            throw failure;
        ct.ThrowIfCancellationRequested();
        if (failure is not null)
            throw new GuestException(GuestFailure.MonitorFailed, $"copying guest memory: {failure.Message}", failure);
    }
}
