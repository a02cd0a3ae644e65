using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>
/// Hands the pages of a dump to whoever writes them, in pieces as large as the source gives them. One feed a thread: it owns a buffer for sources that map nothing.
/// </summary>
internal sealed class PageFeed(PhysicalMemory memory, PageTally tally)
{
    /// <summary>Copied at once where the source cannot be mapped; stays in the CPU's cache.</summary>
    private const int BufferSize = 512 << 10;

    private byte[]? _buffer;

    /// <summary>Takes a piece of memory; <c>bytes</c> is empty for pages without content, which are zeros.</summary>
    public delegate void Take(ulong firstFrame, ulong pages, ReadOnlySpan<byte> bytes);

    /// <summary>Feeds all pages of a range, in ascending order, each exactly once.</summary>
    public void Run(ulong firstFrame, ulong pages, Take take, CancellationToken ct)
    {
        memory.Prefetch(PhysicalAddress.FromFrame(firstFrame), pages << Page.Shift);
        for (ulong frame = firstFrame, end = firstFrame + pages; frame < end;)
        {
            ct.ThrowIfCancellationRequested();
            frame = Piece(frame, end, take);
        }
    }

    /// <returns>The frame behind what was taken.</returns>
    private ulong Piece(ulong frame, ulong end, Take take)
    {
        var address = PhysicalAddress.FromFrame(frame);
        var run = memory.RunAt(address, (end - frame) << Page.Shift);
        var pages = Math.Min(run.Range.PageCount, end - frame);
        if (run.State != PageState.Present)
        {
            if (run.State != PageState.Zero)
                tally.AddMissing(address, pages);
            take(frame, pages, default);
            return frame + pages;
        }

        var wanted = (int)Math.Min(pages << Page.Shift, 1UL << 30);
        var mapped = memory.Map(address, wanted);
        if (mapped.Length < Page.Size)
        {
            _buffer ??= GC.AllocateUninitializedArray<byte>(BufferSize);
            mapped = _buffer.AsSpan(0, memory.Read(address, _buffer.AsSpan(0, Math.Min(wanted, BufferSize))));
        }
        var whole = (ulong)mapped.Length >> Page.Shift;
        if (whole == 0)
        {
            // It said it had bytes and gave none: a live source may lose pages under way.
            tally.AddMissing(address, 1);
            take(frame, 1, default);
            return frame + 1;
        }
        take(frame, whole, mapped[..(int)(whole << Page.Shift)]);
        return frame + whole;
    }
}
