namespace Forengate.Guests;

/// <summary>
/// The room of a guest's copy, made ready: one stretch of addresses, of which the beginning is memory with every page present (a page fault of ours keeps the guest waiting), and the rest
/// a file that is written by <see cref="Spill"/> and read by its addresses.
/// </summary>
internal sealed unsafe class CopyBuffer : IDisposable
{
    /// <summary>What one thread prepares at a time: a multiple of a large page.</summary>
    private const ulong Chunk = SpillFile.Block;

    private readonly MappedRegion _region;

    private CopyBuffer(MappedRegion region, SpillFile? file, ulong memory)
    {
        _region = region;
        File = file;
        Memory = memory;
    }

    public byte* Start => _region.Start;

    /// <summary>Bytes of address space.</summary>
    public ulong Length => _region.Length;

    /// <summary>Bytes from the beginning that are memory.</summary>
    public ulong Memory { get; }

    public SpillFile? File { get; }

    /// <summary>Keeps the addresses valid.</summary>
    public HeldHandle Hold() => new(_region);

    /// <summary>Makes it ready. Null when the host has not enough memory after all.</summary>
    /// <param name="room">How much, and where.</param>
    /// <param name="more">Bytes of address space behind it, of which pages appear as they are touched; of a file these are on the disk before.</param>
    /// <param name="threads">That prepare it.</param>
    /// <param name="progress">Told how far that is.</param>
    /// <param name="ct">Ends it.</param>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public static CopyBuffer? Prepare(CopyRoom room, ulong more, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var file = room.Folder is { } folder ? SpillFile.Create(folder, room.Spilled + more) : null;
        var region = MappedRegion.Anonymous(file is null ? room.Memory + more : room.Memory + file.Length);
        try
        {
            if (region is not null && (file is null || region.PutFile(room.Memory, file.Number)) && Populate(region, room, threads, progress, ct))
            {
                var buffer = new CopyBuffer(region, file, file is null ? region.Length : room.Memory);
                (region, file) = (null, null);
                return buffer;
            }
            return null;
        }
        finally
        {
            region?.Dispose();
            file?.Dispose();
        }
    }

    private static bool Populate(MappedRegion region, CopyRoom room, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        var failed = 0;
        var next = 0L;
        var done = (long)room.Spilled;
        Parallel.For(0, Math.Max(1, threads), new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, _ =>
        {
            for (; ; )
            {
                var offset = (ulong)(Interlocked.Add(ref next, (long)Chunk) - (long)Chunk);
                if (offset >= room.Memory || Volatile.Read(ref failed) != 0 || ct.IsCancellationRequested)
                    return;
                var length = Math.Min(Chunk, room.Memory - offset);
                if (!region.Populate(offset, length))
                    Volatile.Write(ref failed, 1);
                progress?.Report(new CaptureProgress(CapturePhase.PreparingMemory, (ulong)Interlocked.Add(ref done, (long)length), room.Size));
            }
        });
        ct.ThrowIfCancellationRequested();
        return failed == 0;
    }

    /// <summary>Writes blocks to their place behind the memory.</summary>
    /// <param name="from">The bytes.</param>
    /// <param name="offset">In the whole: <see cref="Memory"/> and a multiple of <see cref="SpillFile.Block"/>.</param>
    /// <param name="length">A multiple of <see cref="SpillFile.Block"/>.</param>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public void Spill(byte* from, ulong offset, ulong length) => File!.Write(from, offset - Memory, length);

    /// <summary>Gives memory from an offset on back to the host.</summary>
    public void Trim(ulong from)
    {
        const int DontNeed = 4;
        if (from < Memory)
            _ = LinuxNative.Advise((nint)(Start + from), (nuint)(Memory - from), DontNeed);
    }

    public void Dispose()
    {
        _region.Dispose();
        File?.Dispose();
    }
}
