using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using Forengate.Memory;
using Forengate.Testing.Twins;
using Forengate.Windows;

namespace Forengate.Engine.Tests.Shapes;

/// <summary>
/// Changes the process list of a running twin without pause, from outside, in the order in which Windows stores links: one process comes in front before another leaves at the end, and comes back there before the first leaves.
/// At every instant the list has at least one of the two, and all the others.
/// </summary>
internal sealed class ListChurn : IDisposable
{
    private const int LinkSize = 8;

    /// <summary>How long each state lasts: shorter than a walk, about as long, longer. In microseconds.</summary>
    private static readonly int[] s_dwells = [20, 100, 300, 1000, 5000];

    private readonly WindowsSystem _system;
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _ram;
    private readonly ulong _lowSize;
    private readonly VirtualAddress _head;
    private readonly ulong _offset;
    private readonly Dictionary<VirtualAddress, uint> _pids;
    private readonly Thread _thread;
    private readonly Random _random = new(20348);
    private volatile bool _stop;
    private int _changes;

    public ListChurn(TwinGuest twin, WindowsSystem system)
    {
        _system = system;
        _lowSize = twin.Truth.Memory.LowSize;
        var path = Path.Combine(twin.Machine.Directory, "pc.ram.img");
        _file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.ReadWrite);
        _ram = _file.CreateViewAccessor();
        _head = system.ProcessListHead!.Value;
        _offset = Next(_head) - new VirtualAddress(twin.Truth.Processes.Single(process => process.Pid == 4).Eprocess);
        _pids = twin.Truth.Processes.ToDictionary(process => new VirtualAddress(process.Eprocess) + _offset, process => process.Pid);
        (First, Second) = (_pids[Before(_head)], _pids[Before(Before(_head))]);
        Remove(EntryOf(Second));
        _thread = new Thread(Churn) { IsBackground = true };
        _thread.Start();
    }

    /// <summary>The process that leaves at the list's end and comes back there.</summary>
    public uint First { get; }

    /// <summary>The process that comes behind the list's first entry, and leaves there.</summary>
    public uint Second { get; }

    public int Changes => Volatile.Read(ref _changes);

    /// <summary>One walk at the speed of one that reads whole processes; null where a back link does not fit.</summary>
    public HashSet<uint>? PlainWalk()
    {
        var seen = new HashSet<uint>();
        var previous = _head;
        for (var at = Next(_head); at != _head; at = Next(at))
        {
            if (Before(at) != previous || !seen.Add(_pids[at]))
                return null;
            Pause(20);
            previous = at;
        }
        return Before(_head) == previous ? seen : null;
    }

    public void Dispose()
    {
        _stop = true;
        _thread.Join();
        _ram.Dispose();
        _file.Dispose();
    }

    private void Churn()
    {
        var (first, second) = (EntryOf(First), EntryOf(Second));
        var front = Next(_head);
        while (!_stop)
        {
            Insert(second, front);
            Dwell();
            Remove(first);
            Dwell();
            Insert(first, Before(_head));
            Dwell();
            Remove(second);
            Dwell();
        }
    }

    private void Dwell()
    {
        _changes++;
        Pause(s_dwells[_random.Next(s_dwells.Length)]);
    }

    private static void Pause(int microseconds)
    {
        var until = Stopwatch.GetTimestamp() + (microseconds * Stopwatch.Frequency / 1_000_000);
        if (microseconds >= 1000)
            Thread.Sleep(microseconds / 1000);
        while (Stopwatch.GetTimestamp() < until)
            Thread.SpinWait(10);
    }

    private VirtualAddress EntryOf(uint pid) => _pids.Single(pair => pair.Value == pid).Key;

    private void Insert(VirtualAddress entry, VirtualAddress behind)
    {
        var next = Next(behind);
        Write(entry, next);
        Write(entry + LinkSize, behind);
        Write(behind, entry);
        Write(next + LinkSize, entry);
    }

    /// <summary>The entry keeps its own links, as RemoveEntryList leaves them.</summary>
    private void Remove(VirtualAddress entry)
    {
        var (next, previous) = (Next(entry), Before(entry));
        Write(previous, next);
        Write(next + LinkSize, previous);
    }

    private VirtualAddress Next(VirtualAddress entry) => new(_ram.ReadUInt64(PlaceOf(entry)));

    private VirtualAddress Before(VirtualAddress entry) => new(_ram.ReadUInt64(PlaceOf(entry + LinkSize)));

    private void Write(VirtualAddress at, VirtualAddress value)
    {
        _ram.Write(PlaceOf(at), value.Value);
        Thread.MemoryBarrier();
    }

    private long PlaceOf(VirtualAddress address)
    {
        var place = _system.Kernel.Translate(address).Address.Value;
        return (long)(place < _lowSize ? place : place - (4UL << 30) + _lowSize);
    }
}
