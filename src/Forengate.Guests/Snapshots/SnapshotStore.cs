using Forengate.Memory;

namespace Forengate.Guests;

/// <summary>
/// Room for a snapshot's pages, made ready before the snapshot begins: a page fault on our side would keep the guest's writers waiting. Pages that the host has no memory for are
/// collected in blocks, which another thread writes to a file meanwhile.
/// </summary>
internal sealed unsafe class SnapshotStore : PageStore
{
    /// <summary>Firmware and video memory are in the stream too. Address space for them only: pages of it appear as they are needed.</summary>
    private const ulong Others = 1UL << 30;

    /// <summary>The same where it must be set aside on a disk.</summary>
    public const ulong OthersOnDisk = 256UL << 20;

    private readonly CopyBuffer _buffer;
    private SpillQueue? _queue;
    private long _used;

    private SnapshotStore(CopyBuffer buffer) => _buffer = buffer;

    /// <summary>Called while a disk is waited for: tells the watchdog that somebody is there.</summary>
    public Action? OnTurn
    {
        get;
        set
        {
            field = value;
            if (_queue is { } queue)
                queue.OnTurn = value;
        }
    }

    /// <summary>Bytes kept.</summary>
    public ulong Used => (ulong)_used;

    /// <summary>Room for so many bytes, every page of its memory present. Null when the host has not enough after all.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public static SnapshotStore? Prepare(CopyRoom room, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        if (CopyBuffer.Prepare(room, room.Spilled == 0 ? Others : OthersOnDisk, threads, progress, ct) is not { } buffer)
            return null;
        var store = new SnapshotStore(buffer);
        if (buffer.File is null || (store._queue = SpillQueue.Start(buffer.File, buffer.Dispose)) is not null)
            return store;
        buffer.Dispose();
        return null;
    }

    public override long Keep(ReadOnlySpan<byte> bytes)
    {
        if ((ulong)_used + (ulong)bytes.Length > _buffer.Length)
            throw new ImageFormatException($"the snapshot holds more than {_buffer.Length >> 20} MiB, more than QEMU's memory map lets expect");
        var at = _used;
        while (!bytes.IsEmpty)
        {
            var space = (ulong)_used < _buffer.Memory ? new Span<byte>(_buffer.Start + _used, (int)Math.Min(_buffer.Memory - (ulong)_used, (ulong)bytes.Length)) : _queue!.Space();
            var step = Math.Min(space.Length, bytes.Length);
            bytes[..step].CopyTo(space);
            if ((ulong)_used >= _buffer.Memory)
                _queue!.Advance(step);
            bytes = bytes[step..];
            _used += step;
        }
        return at;
    }

    /// <summary>Writes what is not written yet. Nothing can be kept any more, and all of it be read.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public void Settle() => _queue?.Settle();

    public override int Read(long offset, Span<byte> destination)
    {
        var bytes = Map(offset, destination.Length);
        bytes.CopyTo(destination);
        return bytes.Length;
    }

    public override ReadOnlySpan<byte> Map(long offset, int length)
    {
        Settle();
        return offset < 0 || offset >= _used ? default : new ReadOnlySpan<byte>(_buffer.Start + offset, (int)Math.Min(length, _used - offset));
    }

    /// <summary>Gives back what was prepared and not needed: pages that are zero take no room.</summary>
    public void Trim() => _buffer.Trim(((ulong)_used + Page.OffsetMask) & ~Page.OffsetMask);

    protected override void Dispose(bool disposing)
    {
        if (_queue is { } queue)
            queue.Dispose();
        else
            _buffer.Dispose();
    }
}
