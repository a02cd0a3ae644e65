using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>
/// Hands the pages of a dump, patches laid over, to whoever writes them, in pieces as large as the source gives them. One feed a thread: it owns a buffer for sources
/// that map nothing.
/// </summary>
internal sealed class PageFeed(PhysicalMemory memory, PatchedPages patched, PageTally tally)
{
    /// <summary>Copied at once where the source cannot be mapped; stays in the CPU's cache.</summary>
    private const int BufferSize = 512 << 10;

    private byte[]? _buffer;

    /// <summary>Takes a piece of memory; <c>bytes</c> is empty for pages without content, which are zeros.</summary>
    public delegate void Take(ulong firstFrame, ulong pages, ReadOnlySpan<byte> bytes);

    /// <summary>Feeds all pages of a range, in ascending order, each exactly once.</summary>
    public void Run(ulong firstFrame, ulong pages, Take take, CancellationToken ct)
    {
        var (frame, end) = (firstFrame, firstFrame + pages);
        while (frame < end)
        {
            ct.ThrowIfCancellationRequested();
            var next = patched.NextFrom(frame);
            if (next is { } here && here.Frame == frame)
            {
                take(frame, 1, here.Page);
                frame++;
                continue;
            }
            var stop = next is { } later ? Math.Min(end, later.Frame) : end;
            frame = Piece(frame, stop, take);
        }
    }

    /// <returns>The frame behind what was taken.</returns>
    private ulong Piece(ulong frame, ulong stop, Take take)
    {
        var address = PhysicalAddress.FromFrame(frame);
        var wanted = (int)Math.Min((stop - frame) << Page.Shift, 1UL << 30);
        var mapped = memory.Map(address, wanted);
        if (mapped.Length >= Page.Size)
        {
            var whole = (ulong)mapped.Length >> Page.Shift;
            take(frame, whole, mapped[..(int)(whole << Page.Shift)]);
            return frame + whole;
        }

        _buffer ??= GC.AllocateUninitializedArray<byte>(BufferSize);
        var got = memory.Read(address, _buffer.AsSpan(0, Math.Min(wanted, BufferSize))) >> Page.Shift;
        if (got > 0)
        {
            take(frame, (ulong)got, _buffer.AsSpan(0, got << Page.Shift));
            return frame + (ulong)got;
        }
        if (memory.StateOf(address) != PageState.Zero)
            tally.AddMissing(address);
        take(frame, 1, default);
        return frame + 1;
    }
}
