using System.Collections.Concurrent;

namespace Forengate.Guests;

/// <summary>
/// Small buffers that stay in a core's cache, for what only the kernel can copy: it copies as memcpy does below the size of the last cache, fetching what it is about to overwrite, a third
/// more traffic. From the buffer the bytes go on past the caches (<see cref="WideCopy"/>). Worth it where QEMU's pages are large and memory, not the kernel's work, is what limits (docs/capture.md).
/// </summary>
internal sealed unsafe class CopyStage : IDisposable
{
    /// <summary>Bytes: within the second cache of a core, and as many as make a call to the kernel cheap (measured: 64 KiB to 1 MiB).</summary>
    public const ulong Size = 512 << 10;

    private readonly ConcurrentBag<MappedRegion> _free = [];

    /// <summary>Makes them ready: one for each thread. Where the host gives no memory for one, there are fewer.</summary>
    public CopyStage(int threads)
    {
        for (var i = 0; i < threads; i++)
        {
            if (MappedRegion.Anonymous(Size) is not { } region)
                return;
            if (region.Populate(0, Size))
                _free.Add(region);
            else
                region.Dispose();
        }
    }

    /// <summary>Null when all are in use. To be given back.</summary>
    public MappedRegion? Take() => _free.TryTake(out var region) ? region : null;

    public void GiveBack(MappedRegion region) => _free.Add(region);

    public void Dispose()
    {
        while (_free.TryTake(out var region))
            region.Dispose();
    }
}
