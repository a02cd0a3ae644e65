using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Finds the lists of threads: of all lists that begin in a process, those whose entries lie at one distance in thread objects that point back to their process. Windows keeps two over the same
/// threads, the kernel's in KPROCESS and KTHREAD, the executive's behind these: the one whose heads and entries come first is the kernel's.
/// </summary>
internal sealed class ThreadDeduction(ProcessCensus census, DebuggerData? debugger, DeductionLedger ledger, CancellationToken ct)
{
    /// <summary><c>KOBJECTS.ThreadObject</c> (ntosp.h).</summary>
    private const byte ThreadObject = 6;

    /// <summary>What an ETHREAD spans at most, in bytes, where KDBG does not say.</summary>
    private const int DefaultSize = 0x1000;
    private const int MaxSize = 0x2000;

    private const int ObjectAlignment = 16;

    /// <summary>Threads followed of one process, and objects judged one by one.</summary>
    private const int MaxThreads = 8192;
    private const int MaxJudged = 512;

    /// <summary>One process in so many may have a list that does not close.</summary>
    private const int MostTorn = 20;

    /// <summary>One list of threads.</summary>
    /// <param name="Head">Offset of its head in the process.</param>
    /// <param name="Entry">Offset of its entries in the thread.</param>
    /// <param name="Threads">Each thread and its process.</param>
    private sealed record ThreadList(int Head, int Entry, List<(VirtualAddress Thread, ProcessSample Owner)> Threads);

    /// <summary>The threads found, with their owners.</summary>
    public IReadOnlyList<(VirtualAddress Thread, ProcessSample Owner)> Threads { get; private set; } = [];

    public void Run()
    {
        var size = debugger?.Word(DebuggerDataField.SizeEThread) is { } told and > 0x300 and <= MaxSize ? told : DefaultSize;
        var lists = Heads().Select(head => Follow(head, size)).OfType<ThreadList>().OrderBy(static list => list.Head).ToList();
        if (lists.Count != 2 || lists[0].Entry >= lists[1].Entry || !AreOverTheSame(lists[0].Threads, lists[1].Threads))
        {
            var why = lists.Count == 2
                ? "the two lists of threads found are not over the same threads, or differ in the order of their places"
                : $"{lists.Count} lists in processes lead to thread objects that point back; Windows has two";
            foreach (var field in (ReadOnlySpan<KernelField>)
                [KernelField.KPROCESS_ThreadListHead, KernelField.KTHREAD_ThreadListEntry, KernelField.EPROCESS_ThreadListHead, KernelField.ETHREAD_ThreadListEntry, KernelField.KTHREAD_Process])
                ledger.Refuse(field, why);
            return;
        }
        Threads = lists[0].Threads;
        foreach (var owned in Threads.GroupBy(static t => t.Owner))
            owned.Key.Threads = owned.Count();
        foreach (var sample in census.Samples)
            sample.Threads ??= 0;
        var how = $"{Threads.Count} threads of {Threads.Select(static t => t.Owner).Distinct().Count()} processes: lists that close, entries in thread objects that point back to their process";
        ledger.Accept(KernelField.KPROCESS_ThreadListHead, lists[0].Head, $"{how}; the first of the two lists over the same threads");
        ledger.Accept(KernelField.KTHREAD_ThreadListEntry, lists[0].Entry, $"{how}; the first of the two lists over the same threads");
        ledger.Accept(KernelField.EPROCESS_ThreadListHead, lists[1].Head, $"{how}; the second of the two lists over the same threads");
        ledger.Accept(KernelField.ETHREAD_ThreadListEntry, lists[1].Entry, $"{how}; the second of the two lists over the same threads");
        if (debugger?.Word(DebuggerDataField.SizeEThread) == size && lists[1].Entry + LinkedListWalk.EntrySize <= size)
            ledger.Accept(KernelStruct.ETHREAD, size, "KDBG's SizeEThread; all fields found lie within");
        FindOwner(size);
    }

    /// <summary>The kernel's list lets a thread go when it ends, the executive's when it is deleted: the second may hold more.</summary>
    private static bool AreOverTheSame(List<(VirtualAddress Thread, ProcessSample Owner)> kernel, List<(VirtualAddress Thread, ProcessSample Owner)> executive)
    {
        var known = executive.Select(static thread => thread.Thread).ToHashSet();
        return ProcessCensus.NearlyAll(kernel, thread => known.Contains(thread.Thread)) && kernel.Count * 2 > executive.Count;
    }

    /// <summary>Places in the System process that begin a list which is not empty and points back, but for the list of processes.</summary>
    private List<int> Heads()
    {
        var system = census.SystemSample;
        return
        [
            .. census.Qwords.Where(offset => offset + LinkedListWalk.EntrySize <= census.Size && offset != ledger.OffsetOf(KernelField.EPROCESS_ActiveProcessLinks)
                && system.Pointer(offset) is var next && next != system.Address + (ulong)offset && KernelPointers.IsObject(next, census.Space.Levels)
                && ProcessCensus.IsLinked(census.Space, system.Address + (ulong)offset)),
        ];
    }

    private ThreadList? Follow(int head, int size)
    {
        var entries = new List<(VirtualAddress Entry, ProcessSample Owner)>();
        var torn = 0;
        foreach (var sample in census.Samples)
        {
            ct.ThrowIfCancellationRequested();
            var before = entries.Count;
            if (TryFollow(sample, head, entries))
                continue;
            entries.RemoveRange(before, entries.Count - before);
            torn++;
        }
        // A list or two may be torn in memory taken from a running guest; what is no list of threads breaks everywhere.
        if (entries.Count < 2 || torn * MostTorn > census.Samples.Count)
            return null;
        var judged = entries.Count <= MaxJudged ? entries : [.. entries.Where((_, i) => i % ((entries.Count / MaxJudged) + 1) == 0)];
        // The objects' common distance: thread headers there, and a pointer to the owner somewhere in each.
        var distances = new List<int>();
        for (var distance = (int)(judged[0].Entry.Value % ObjectAlignment); distance < size; distance += ObjectAlignment)
        {
            if (ProcessCensus.NearlyAll(judged, entry => ProcessCensus.IsObject(census.Space, entry.Entry - (ulong)distance, ThreadObject)))
                distances.Add(distance);
        }
        if (distances is not [var found] || OwnerPlaces([.. judged.Select(entry => (entry.Entry - (ulong)found, entry.Owner))], size).Count == 0)
            return null;
        return new ThreadList(head, found, [.. entries.Select(entry => (entry.Entry - (ulong)found, entry.Owner))]);
    }

    /// <summary>One process's list, forward and whole: each entry points back to the one before.</summary>
    private bool TryFollow(ProcessSample sample, int head, List<(VirtualAddress, ProcessSample)> entries)
    {
        var start = sample.Address + (ulong)head;
        var (previous, at) = (start, sample.Pointer(head));
        for (var count = 0; at != start; count++)
        {
            if (count == MaxThreads || !LinkedListWalk.TryReadLinks(census.Space, at, out var links) || links.Blink != previous)
                return false;
            entries.Add((at, sample));
            (previous, at) = (at, links.Flink);
        }
        return sample.Pointer(head + sizeof(ulong)) == previous;
    }

    /// <summary>Places in the thread that hold the owner's address in all of them.</summary>
    private List<int> OwnerPlaces(List<(VirtualAddress Thread, ProcessSample Owner)> threads, int size)
    {
        var places = new List<int>();
        for (var place = 0; place + sizeof(ulong) <= size; place += sizeof(ulong))
        {
            if (ProcessCensus.NearlyAll(threads, thread => census.Space.TryReadPointer(thread.Thread + (ulong)place, out var value) && value == thread.Owner.Address))
                places.Add(place);
        }
        return places;
    }

    private void FindOwner(int size)
    {
        var judged = Threads.Take(MaxJudged).ToList();
        var known = census.Samples.Select(static sample => sample.Address).ToHashSet();
        var apcStates = new List<int>();
        for (var place = PublicLayouts.ApcStateProcess; place + sizeof(ulong) <= size; place += sizeof(ulong))
        {
            if (ProcessCensus.NearlyAll(judged, thread => IsApcState(thread.Thread + (ulong)(place - PublicLayouts.ApcStateProcess), known)))
                apcStates.Add(place);
        }
        var told = debugger?.Word(DebuggerDataField.OffsetKThreadApcProcess) is { } word and not 0 ? word - PublicLayouts.ApcStateProcess : (int?)null;
        var state = ledger.Choose(
            KernelField.KTHREAD_ApcState, [.. apcStates.Select(static place => place - PublicLayouts.ApcStateProcess)], told,
            $"two intact lists and a known process behind them in {judged.Count} threads");
        if (state is null)
            return;
        ledger.Accept(KernelField.KAPC_STATE_Process, PublicLayouts.ApcStateProcess, "ntifs.h; behind the two lists of KTHREAD.ApcState");
        var owners = OwnerPlaces(judged, size).Where(place => place != state + PublicLayouts.ApcStateProcess).ToList();
        ledger.Choose(KernelField.KTHREAD_Process, owners, null, $"the owner's address in {judged.Count} threads, beside ApcState.Process");
    }

    private bool IsApcState(VirtualAddress at, HashSet<VirtualAddress> known) =>
        census.Space.TryReadPointer(at + PublicLayouts.ApcStateProcess, out var process) && known.Contains(process)
        && ProcessCensus.IsLinked(census.Space, at) && ProcessCensus.IsLinked(census.Space, at + LinkedListWalk.EntrySize);
}
