namespace Forengate.Guests;

/// <summary>Threads that copy a guest's memory piece by piece.</summary>
internal static class CopyThreads
{
    /// <summary>What one thread copies at a time: a multiple of a large page, and a block of a file.</summary>
    public const ulong Chunk = SpillFile.Block;

    /// <summary>Has all pieces worked on, by this thread and others.</summary>
    /// <param name="size">Bytes.</param>
    /// <param name="threads">With this one.</param>
    /// <param name="work">Is given offset and length of a piece.</param>
    /// <param name="ct">Ends it.</param>
    /// <exception cref="GuestException">One of them failed.</exception>
    public static void Run(ulong size, int threads, Action<ulong, ulong> work, CancellationToken ct)
    {
        var next = 0L;
        Exception? failure = null;
        void Pieces()
        {
            try
            {
                for (; ; )
                {
                    var offset = (ulong)(Interlocked.Add(ref next, (long)Chunk) - (long)Chunk);
                    // The guest stands still: what can't succeed any more ends at once.
                    if (offset >= size || ct.IsCancellationRequested || Volatile.Read(ref failure) is not null)
                        return;
                    work(offset, Math.Min(Chunk, size - offset));
                }
            }
            catch (Exception e)
            {
                Volatile.Write(ref failure, e);
            }
        }
        var others = new Thread[Math.Max(0, Math.Min(threads, (int)Math.Min(int.MaxValue, (size + Chunk - 1) / Chunk)) - 1)];
        for (var i = 0; i < others.Length; i++)
        {
            others[i] = new Thread(Pieces) { IsBackground = true, Name = "guest copy" };
            others[i].Start();
        }
        Pieces();
        foreach (var thread in others)
            thread.Join();
        if (failure is GuestException { Failure: GuestFailure.NoDisk })
            throw failure;
        if (failure is not null)
            throw new GuestException(GuestFailure.MonitorFailed, $"copying guest memory: {failure.Message}", failure);
        ct.ThrowIfCancellationRequested();
    }
}
