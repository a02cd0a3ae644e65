using System.Collections.Concurrent;
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

    private const int Blocks = (int)(CopyRoom.Staging / SpillFile.Block);

    /// <summary>A disk that takes nothing for so long would keep the guest waiting for us: shorter than the watchdog waits.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly CopyBuffer _buffer;
    private readonly BlockingCollection<MappedRegion> _free = [];
    private readonly BlockingCollection<(MappedRegion Block, ulong Offset)> _full = [];
    private readonly List<Thread> _writers = [];
    private MappedRegion? _filling;
    private Exception? _failure;
    private long _used;
    private long _written;

    private SnapshotStore(CopyBuffer buffer) => _buffer = buffer;

    /// <summary>Called while a disk is waited for: tells the watchdog that somebody is there.</summary>
    public Action? OnTurn { get; set; }

    /// <summary>Bytes kept.</summary>
    public ulong Used => (ulong)_used;

    /// <summary>Room for so many bytes, every page of its memory present. Null when the host has not enough after all.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public static SnapshotStore? Prepare(CopyRoom room, int threads, IProgress<CaptureProgress>? progress, CancellationToken ct)
    {
        if (CopyBuffer.Prepare(room, room.Spilled == 0 ? Others : OthersOnDisk, threads, progress, ct) is not { } buffer)
            return null;
        var store = new SnapshotStore(buffer);
        for (var i = 0; buffer.File is not null && i < Blocks; i++)
        {
            if (MappedRegion.Anonymous(SpillFile.Block) is { } block)
            {
                store._free.Add(block, ct);
                if (block.Populate(0, SpillFile.Block))
                    continue;
            }
            store.Dispose();
            return null;
        }
        // Two: the disk has the next block before it is done with the last.
        for (var i = 0; buffer.File is not null && i < 2; i++)
        {
            var writer = new Thread(store.Write) { IsBackground = true, Name = "spilling" };
            store._writers.Add(writer);
            writer.Start();
        }
        return store;
    }

    public override long Keep(ReadOnlySpan<byte> bytes)
    {
        if ((ulong)_used + (ulong)bytes.Length > _buffer.Length)
            throw new ImageFormatException($"the snapshot holds more than {_buffer.Length >> 20} MiB, more than QEMU's memory map lets expect");
        var at = _used;
        while (!bytes.IsEmpty)
        {
            var space = (ulong)_used < _buffer.Memory ? new Span<byte>(_buffer.Start + _used, (int)Math.Min(_buffer.Memory - (ulong)_used, (ulong)bytes.Length)) : Staged();
            var step = Math.Min(space.Length, bytes.Length);
            bytes[..step].CopyTo(space);
            bytes = bytes[step..];
            _used += step;
        }
        return at;
    }

    /// <summary>What is left of the block that is being filled; where none is, of the next.</summary>
    private Span<byte> Staged()
    {
        var inBlock = ((ulong)_used - _buffer.Memory) % SpillFile.Block;
        if (inBlock == 0)
        {
            PutAway();
            Throw();
            if (!_free.TryTake(out _filling, s_patience))
            {
                Throw();
                throw new GuestException(GuestFailure.NoDisk, $"the disk of {_buffer.File!.Folder} took nothing for {s_patience.TotalSeconds:0} s, and the guest must not wait for it");
            }
        }
        return new Span<byte>(_filling!.Start + inBlock, (int)(SpillFile.Block - inBlock));
    }

    private void PutAway()
    {
        if (_filling is not { } block)
            return;
        _filling = null;
        var behind = (ulong)_used - _buffer.Memory;
        _full.Add((block, _buffer.Memory + ((behind - 1) / SpillFile.Block * SpillFile.Block)));
    }

    private void Write()
    {
        foreach (var (block, offset) in _full.GetConsumingEnumerable())
        {
            try
            {
                if (Volatile.Read(ref _failure) is null)
                    _buffer.Spill(block.Start, offset, SpillFile.Block);
            }
            catch (Exception e)
            {
                Volatile.Write(ref _failure, e);
            }
            Interlocked.Increment(ref _written);
            _free.Add(block);
        }
    }

    private void Throw()
    {
        if (Volatile.Read(ref _failure) is { } failure)
            throw failure is GuestException ? failure : new GuestException(GuestFailure.NoDisk, $"spilling to {_buffer.File!.Folder}: {failure.Message}", failure);
    }

    /// <summary>Writes what is not written yet. Nothing can be kept any more, and all of it be read.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public void Settle()
    {
        if (_writers.Count == 0)
            return;
        PutAway();
        if (!End())
            throw new GuestException(GuestFailure.NoDisk, $"the disk of {_buffer.File!.Folder} took nothing for {s_patience.TotalSeconds:0} s");
        _writers.Clear();
        Throw();
    }

    /// <summary>Waits for the writers as long as they write. False when they hang.</summary>
    private bool End()
    {
        const int TurnMilliseconds = 100;
        _full.CompleteAdding();
        var (seen, since) = (Interlocked.Read(ref _written), Environment.TickCount64);
        foreach (var writer in _writers)
        {
            while (!writer.Join(TurnMilliseconds))
            {
                OnTurn?.Invoke();
                if (seen != Interlocked.Read(ref _written))
                    (seen, since) = (Interlocked.Read(ref _written), Environment.TickCount64);
                else if (Environment.TickCount64 - since > s_patience.TotalMilliseconds)
                    return false;
            }
        }
        return true;
    }

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
        if (_writers.Count == 0 || End())
        {
            Release();
            return;
        }
        // What a hanging disk still writes from is given back when it goes on.
        new Thread(() =>
        {
            foreach (var writer in _writers)
                writer.Join();
            Release();
        })
        { IsBackground = true, Name = "spilling" }.Start();
    }

    private void Release()
    {
        _filling?.Dispose();
        while (_free.TryTake(out var block))
            block.Dispose();
        _buffer.Dispose();
    }
}
