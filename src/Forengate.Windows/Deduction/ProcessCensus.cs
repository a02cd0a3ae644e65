using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>The processes a deduction looks at: found by the list of active processes alone, before any field but its links is known.</summary>
internal sealed class ProcessCensus
{
    /// <summary><c>KOBJECTS.ProcessObject</c> (ntosp.h); bit 7 of the type is its lock.</summary>
    private const byte ProcessObject = 3;
    private const byte TypeMask = 0x7F;

    /// <summary>How far from its start an EPROCESS is believed to reach where KDBG does not say its size, in bytes; and the most KDBG is believed.</summary>
    private const int DefaultSize = 0x1000;
    private const int MinSize = 0x300;
    private const int MaxSize = 0x2000;

    /// <summary>The most processes looked at, in bytes of the samples a few MiB.</summary>
    private const int MaxSamples = 1024;

    /// <summary>One object in so many may deviate from what all others show.</summary>
    private const int MostMissing = 20;

    private ProcessCensus(AddressSpace space, VirtualAddress system, int size, List<ProcessSample> samples) => (Space, System, Size, Samples) = (space, system, size, samples);

    /// <summary>The space the kernel was first seen through.</summary>
    public AddressSpace Space { get; }

    /// <summary>EPROCESS of the System process.</summary>
    public VirtualAddress System { get; }

    /// <summary>Bytes of each sample: what an EPROCESS spans at most.</summary>
    public int Size { get; }

    /// <summary>In the order of the list; those that could be read whole.</summary>
    public IReadOnlyList<ProcessSample> Samples { get; }

    public ProcessSample SystemSample => Samples.First(sample => sample.Address == System);

    /// <summary>Offsets at which a qword may begin.</summary>
    public IEnumerable<int> Qwords => Enumerable.Range(0, (Size - sizeof(ulong)) / sizeof(ulong)).Select(static i => i * sizeof(ulong));

    /// <summary>Takes the census and accepts the links' place; null, and the reason, where the list can't be followed or believed.</summary>
    public static ProcessCensus? Take(AddressSpace space, DebuggerData? debugger, DeductionLedger ledger, WindowsLimits limits, out string reason, CancellationToken ct)
    {
        if (ledger.AddressOf(KernelGlobal.PsInitialSystemProcess) is not { } global || !space.TryReadPointer(global, out var system) || !KernelPointers.IsObject(system, space.Levels))
        {
            reason = "the kernel image's export PsInitialSystemProcess, or what it leads to, is not in memory";
            return null;
        }
        if (!IsProcess(space, system))
        {
            reason = $"PsInitialSystemProcess leads to {system}, where no process object lies";
            return null;
        }
        if (ledger.AddressOf(KernelGlobal.PsActiveProcessHead) is not { } head)
        {
            reason = "the list of processes was not found: KDBG, which names it, is missing or does not decode";
            return null;
        }
        const string how = "wdm.h; a process object's type and an intact list of waiters are there";
        ledger.Accept(KernelField.DISPATCHER_HEADER_Type, PublicLayouts.HeaderType, how);
        ledger.Accept(KernelField.DISPATCHER_HEADER_WaitListHead, PublicLayouts.HeaderWaitListHead, how);
        var size = SizeOf(debugger, ledger);
        var warnings = new WarningList(1);
        var entries = LinkedListWalk.Follow(
            space, head, limits.Processes,
            (VirtualAddress at, out LinkedListWalk.Links links, out VirtualAddress entry) =>
            {
                entry = at;
                return LinkedListWalk.TryReadLinks(space, at, out links);
            },
            nameof(KernelGlobal.PsActiveProcessHead), warnings, ct);
        var own = entries.Where(entry => entry - system < (ulong)size).ToList();
        if (own.Count != 1)
        {
            reason = $"{own.Count} entries of the process list lie in the System process";
            return null;
        }
        var links = (int)(own[0] - system);
        var samples = new List<ProcessSample>();
        var (processes, strangers) = (0, 0);
        foreach (var entry in entries)
        {
            ct.ThrowIfCancellationRequested();
            if (!IsProcess(space, entry - (ulong)links))
            {
                strangers++;
                continue;
            }
            processes++;
            var bytes = new byte[size];
            if (samples.Count < MaxSamples && space.TryRead(entry - (ulong)links, bytes))
                samples.Add(new ProcessSample(entry - (ulong)links, bytes));
        }
        if (strangers * 10 > processes || !samples.Exists(sample => sample.Address == system))
        {
            reason = $"{strangers} of {entries.Count} entries of the process list are in no process object, as System's lies in it";
            return null;
        }
        reason = "";
        ledger.Accept(
            KernelField.EPROCESS_ActiveProcessLinks, links,
            $"where the list at PsActiveProcessHead passes through the System process; {processes} entries lie so in process objects, {strangers} do not; the list {(warnings.Count == 0 ? "closes" : "does not close")}");
        return new ProcessCensus(space, system, size, samples);
    }

    /// <summary>Every place, of those given, where each sample fits.</summary>
    public List<int> Where(IEnumerable<int> offsets, Func<ProcessSample, int, bool> fits) =>
        [.. offsets.Where(offset => Samples.All(sample => fits(sample, offset)))];

    /// <summary>Whether nearly all fit: a process that is being made, ends or is torn may not. All of a few must.</summary>
    public static bool NearlyAll<T>(IReadOnlyList<T> items, Func<T, bool> fits)
    {
        var misses = 0;
        for (var i = 0; i < items.Count; i++)
        {
            if (!fits(items[i]) && ++misses * MostMissing > items.Count)
                return false;
        }
        return true;
    }

    private static bool IsProcess(AddressSpace space, VirtualAddress at) => IsObject(space, at, ProcessObject);

    /// <summary>Whether a dispatcher object of a type lies there: its header says so, its list of waiters points back.</summary>
    public static bool IsObject(AddressSpace space, VirtualAddress at, byte type) =>
        KernelPointers.IsObject(at, space.Levels) && at.Value % 16 == 0 && space.TryRead(at + PublicLayouts.HeaderType, out byte seen) && (seen & TypeMask) == type
        && IsLinked(space, at + PublicLayouts.HeaderWaitListHead);

    /// <summary>Whether both neighbours of a list entry or head point back to it.</summary>
    public static bool IsLinked(AddressSpace space, VirtualAddress at) =>
        LinkedListWalk.TryReadLinks(space, at, out var links)
        && LinkedListWalk.TryReadLinks(space, links.Flink, out var next) && next.Blink == at
        && LinkedListWalk.TryReadLinks(space, links.Blink, out var last) && last.Flink == at;

    private static int SizeOf(DebuggerData? debugger, DeductionLedger ledger)
    {
        if (debugger?.SizeEProcess is not (>= MinSize and <= MaxSize) || debugger.SizeEProcess % sizeof(ulong) != 0)
            return DefaultSize;
        ledger.Accept(KernelStruct.EPROCESS, debugger.SizeEProcess, "KDBG's SizeEProcess; all fields found lie within");
        return debugger.SizeEProcess;
    }
}
