using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>Room for a snapshot's pages in our own memory, made present before the snapshot begins: a page fault on our side would keep the guest's writers waiting.</summary>
internal sealed unsafe class SnapshotStore : PageStore
{
    /// <summary>Firmware and video memory are in the stream too. Address space for them only: pages of it appear as they are needed.</summary>
    private const ulong Others = 1UL << 30;

    /// <summary>What one thread prepares at a time: a multiple of a large page.</summary>
    private const ulong Chunk = 8 << 20;

    private readonly MappedRegion _region;
    private long _used;

    private SnapshotStore(MappedRegion region) => _region = region;

    /// <summary>Bytes kept.</summary>
    public ulong Used => (ulong)_used;

    /// <summary>Room for so many bytes, every page of it present. Null when the host has not enough.</summary>
    public static SnapshotStore? Prepare(ulong size, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        if (MappedRegion.Anonymous(size + Others) is not { } region)
            return null;
        try
        {
            var failed = 0;
            var next = 0L;
            var done = 0L;
            Parallel.For(0, Math.Max(1, threads), new ParallelOptions { MaxDegreeOfParallelism = Math.Max(1, threads) }, _ =>
            {
                for (; ; )
                {
                    var offset = (ulong)(Interlocked.Add(ref next, (long)Chunk) - (long)Chunk);
                    if (offset >= size || Volatile.Read(ref failed) != 0 || ct.IsCancellationRequested)
                        return;
                    var length = Math.Min(Chunk, size - offset);
                    if (!region.Populate(offset, length))
                        Volatile.Write(ref failed, 1);
                    progress?.Report(new CaptureProgress(CapturePhase.PreparingMemory, (ulong)Interlocked.Add(ref done, (long)length), size));
                }
            });
            ct.ThrowIfCancellationRequested();
            if (failed == 0)
                return new SnapshotStore(region);
        }
        catch
        {
            region.Dispose();
            throw;
        }
        region.Dispose();
        return null;
    }

    public override long Keep(ReadOnlySpan<byte> bytes)
    {
        if ((ulong)_used + (ulong)bytes.Length > _region.Length)
            throw new ImageFormatException($"the snapshot holds more than {_region.Length >> 20} MiB, more than QEMU's memory map lets expect");
        bytes.CopyTo(new Span<byte>(_region.Start + _used, bytes.Length));
        var at = _used;
        _used += bytes.Length;
        return at;
    }

    public override int Read(long offset, Span<byte> destination)
    {
        var bytes = Map(offset, destination.Length);
        bytes.CopyTo(destination);
        return bytes.Length;
    }

    public override ReadOnlySpan<byte> Map(long offset, int length) =>
        offset < 0 || offset >= _used ? default : new ReadOnlySpan<byte>(_region.Start + offset, (int)Math.Min(length, _used - offset));

    /// <summary>Gives back what was prepared and not needed: pages that are zero take no room.</summary>
    public void Trim()
    {
        const int DontNeed = 4;
        var from = ((ulong)_used + Page.OffsetMask) & ~Page.OffsetMask;
        if (from < _region.Length)
            _ = LinuxNative.Advise((nint)(_region.Start + from), (nuint)(_region.Length - from), DontNeed);
    }

    protected override void Dispose(bool disposing) => _region.Dispose();
}
