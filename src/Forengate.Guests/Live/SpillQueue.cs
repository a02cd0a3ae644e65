using System.Collections.Concurrent;

namespace Forengate.Guests;

/// <summary>
/// Bytes on their way to a file, one behind the other: they are collected in blocks, which other threads write meanwhile. A disk that hangs hangs those threads and nobody else: whoever brings the bytes gives up after a while.
/// </summary>
internal sealed unsafe class SpillQueue : IDisposable
{
    private const int Blocks = (int)(CopyRoom.Staging / SpillFile.Block);

    /// <summary>A disk that takes nothing for so long would keep the guest waiting for us: shorter than the watchdog waits.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    private readonly SpillFile _file;
    private readonly Action _release;
    private readonly BlockingCollection<MappedRegion> _free = [];
    private readonly BlockingCollection<(MappedRegion Block, ulong Offset)> _full = [];
    private readonly List<Thread> _writers = [];
    private MappedRegion? _filling;
    private Exception? _failure;
    private ulong _used;
    private long _written;

    private SpillQueue(SpillFile file, Action release) => (_file, _release) = (file, release);

    /// <summary>Called while a disk is waited for: tells the watchdog that somebody is there.</summary>
    public Action? OnTurn { get; set; }

    /// <summary>Ready to take bytes, every page of its memory present. Null when the host has not enough after all.</summary>
    /// <param name="file">Where they go, from its beginning; not owned.</param>
    /// <param name="release">What is to be given back when nothing is written any more, which may be after <see cref="Dispose"/> where a disk hangs. Not called where null is returned.</param>
    public static SpillQueue? Start(SpillFile file, Action release)
    {
        var queue = new SpillQueue(file, release);
        for (var i = 0; i < Blocks; i++)
        {
            if (MappedRegion.Anonymous(SpillFile.Block) is { } block)
            {
                queue._free.Add(block);
                if (block.Populate(0, SpillFile.Block))
                    continue;
            }
            queue.ReleaseBlocks();
            return null;
        }
        // Two: the disk has the next block before it is done with the last.
        for (var i = 0; i < 2; i++)
        {
            var writer = new Thread(queue.Write) { IsBackground = true, Name = "spilling" };
            queue._writers.Add(writer);
            writer.Start();
        }
        return queue;
    }

    /// <summary>What is left of the block that is being filled; where none is, of the next. <see cref="Advance"/> says how much of it was.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public Span<byte> Space()
    {
        var inBlock = _used % SpillFile.Block;
        if (_filling is null)
        {
            Throw();
            if (!_free.TryTake(out _filling, s_patience))
            {
                Throw();
                throw new GuestException(GuestFailure.NoDisk, $"the disk of {_file.Folder} took nothing for {s_patience.TotalSeconds:0} s, and the guest must not wait for it");
            }
        }
        return new Span<byte>(_filling.Start + inBlock, (int)(SpillFile.Block - inBlock));
    }

    public void Advance(int bytes)
    {
        _used += (ulong)bytes;
        if (_used % SpillFile.Block == 0)
            PutAway();
    }

    /// <summary>Writes what is not written yet. Nothing can be added any more.</summary>
    /// <exception cref="GuestException"><see cref="GuestFailure.NoDisk"/>.</exception>
    public void Settle()
    {
        if (_writers.Count == 0)
            return;
        if (_used % SpillFile.Block != 0)
            PutAway();
        if (!End())
            throw new GuestException(GuestFailure.NoDisk, $"the disk of {_file.Folder} took nothing for {s_patience.TotalSeconds:0} s");
        _writers.Clear();
        Throw();
    }

    private void PutAway()
    {
        if (_filling is not { } block)
            return;
        _filling = null;
        _full.Add((block, (_used - 1) / SpillFile.Block * SpillFile.Block));
    }

    private void Write()
    {
        foreach (var (block, offset) in _full.GetConsumingEnumerable())
        {
            try
            {
                if (Volatile.Read(ref _failure) is null)
                    _file.Write(block.Start, offset, SpillFile.Block);
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
            throw failure is GuestException ? failure : new GuestException(GuestFailure.NoDisk, $"spilling to {_file.Folder}: {failure.Message}", failure);
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

    public void Dispose()
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
        ReleaseBlocks();
        _release();
    }

    private void ReleaseBlocks()
    {
        _filling?.Dispose();
        while (_free.TryTake(out var block))
            block.Dispose();
    }
}
