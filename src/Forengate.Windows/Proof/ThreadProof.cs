using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>What the lists of threads must look like.</summary>
internal static class ThreadProof
{
    private const byte ThreadObject = 6;
    private const byte TypeMask = 0x7F;

    /// <summary>Threads judged of one process.</summary>
    private const int MaxThreads = 16;

    /// <summary>Threads counted of one process.</summary>
    private const int MaxCounted = 4096;

    public static void Run(WindowsSystem system, List<Process> processes, ProofSheet sheet, CancellationToken ct)
    {
        var (process, thread) = (system.Layouts.Process, system.Layouts.Thread);
        var known = processes.Select(static one => one.Address).ToHashSet();
        var (total, types, owners, attached, closed, lists, counted, counts, clients, numbered) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        var client = system.Profile.OffsetOf(KernelField.ETHREAD_Cid);
        foreach (var one in processes)
        {
            ct.ThrowIfCancellationRequested();
            if (process.KernelThreadListHead is not { } head)
                break;
            lists++;
            var count = 0;
            var start = one.Address + (ulong)head;
            var at = start;
            while (count <= MaxCounted && LinkedListWalk.TryReadLinks(system.Kernel, at, out var links) && LinkedListWalk.TryReadLinks(system.Kernel, links.Flink, out var next) && next.Blink == at)
            {
                at = links.Flink;
                if (at == start)
                    break;
                if (count++ >= MaxThreads)
                    continue;
                var ethread = at - (ulong)thread.KernelThreadListEntry;
                total++;
                types += system.Kernel.TryRead(ethread + (ulong)process.HeaderType, out byte type) && (type & TypeMask) == ThreadObject ? 1 : 0;
                owners += system.Kernel.TryReadPointer(ethread + (ulong)thread.Process, out var owner) && owner == one.Address ? 1 : 0;
                attached += system.Kernel.TryReadPointer(ethread + (ulong)thread.AttachedProcess, out var other) && (known.Contains(other) || IsProcess(system, other)) ? 1 : 0;
                if (client is { } id && system.Kernel.TryRead(ethread + (ulong)id, out ulong number))
                {
                    numbered++;
                    clients += number == one.Id ? 1 : 0;
                }
            }
            closed += at == start ? 1 : 0;
            if (at != start || process.ActiveThreads is null)
                continue;
            counted++;
            counts += one.ThreadCount == (uint)count ? 1 : 0;
        }
        sheet.All("lists of threads close and point back", closed, lists, "processes");
        sheet.All("their entries lie in thread objects", types, total, "threads");
        sheet.All("threads point back to their process", owners, total, "threads");
        sheet.All("threads run in some process's address space", attached, total, "threads");
        sheet.All("processes have as many threads as they count", counts, counted, "processes");
        sheet.All("threads bear their process's number", clients, numbered, "threads");
        SecondList(system, processes, sheet);
    }

    /// <summary>The executive's list over the same threads.</summary>
    private static void SecondList(WindowsSystem system, List<Process> processes, ProofSheet sheet)
    {
        var (right, total) = (0, 0);
        if (system.Layouts.Process.ThreadListHead is { } head && system.Profile.OffsetOf(KernelField.ETHREAD_ThreadListEntry) is { } entry)
        {
            foreach (var one in processes)
            {
                if (!LinkedListWalk.TryReadLinks(system.Kernel, one.Address + (ulong)head, out var links) || links.Flink == one.Address + (ulong)head)
                    continue;
                total++;
                right += system.Kernel.TryReadPointer(links.Flink - (ulong)entry + (ulong)system.Layouts.Thread.Process, out var owner) && owner == one.Address ? 1 : 0;
            }
        }
        sheet.All("the executive's lists of threads lead to them too", right, total, "processes");
    }

    private static bool IsProcess(WindowsSystem system, VirtualAddress at)
    {
        const byte processObject = 3;
        return KernelPointers.IsObject(at, system.Levels) && system.Kernel.TryRead(at + (ulong)system.Layouts.Process.HeaderType, out byte type) && (type & TypeMask) == processObject;
    }
}
