using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>The processes of a system: by Windows' own list, or by their pattern in all of memory.</summary>
public static class ProcessList
{
    internal const string ListName = "PsActiveProcessHead";

    /// <summary>Follows <c>PsActiveProcessHead</c>; where the list is broken, from both ends.</summary>
    public static Listing<Process> Walk(WindowsSystem system, CancellationToken ct = default)
    {
        var warnings = new WarningList(system.Limits.Warnings);
        var (processes, torn) = Settled(system, warnings, ct);
        if (processes.Count == 0)
            warnings.Add($"{ListName}: no process found{(warnings.Count == 0 ? ": the list is empty" : "")}; try --scan");
        return new Listing<Process>(processes, warnings.ToList()) { Torn = torn };
    }

    /// <summary>The list as it was at one time, where memory changes while it is read.</summary>
    internal static (List<Process> Items, TornReads Torn) Settled(WindowsSystem system, WarningList warnings, CancellationToken ct) =>
        SettledWalk.Run(
            system.Kernel, system.ProcessListHead, ListName, warnings, system.Limits.Warnings, own => Walk(system, own, ct),
            process => process.Address + (ulong)system.Layouts.Process.ActiveProcessLinks);

    /// <summary>
    /// Finds processes by the dispatcher header of <c>_KPROCESS</c> in all of memory, as the System process has it, and validates each. Ended ones and ones cut out of the
    /// list are among them; <see cref="Process.IsListed"/> tells which.
    /// </summary>
    /// <param name="system">The system.</param>
    /// <param name="progress">Told the share of memory done, 0 to 1.</param>
    /// <param name="ct">Ends the scan by an <see cref="OperationCanceledException"/>.</param>
    public static Listing<Process> Scan(WindowsSystem system, IProgress<double>? progress = null, CancellationToken ct = default) =>
        new ProcessScan(system, ct).Run(progress);

    internal static List<Process> Walk(WindowsSystem system, WarningList warnings, CancellationToken ct)
    {
        if (system.AddressOf(Symbols.KernelGlobal.PsActiveProcessHead) is not { } head)
        {
            warnings.Add($"{ListName}: the profile does not know it");
            return [];
        }
        var layout = system.Layouts.Process;
        var reader = new ProcessReader(system.Kernel, layout);
        return LinkedListWalk.Follow(
            system.Kernel, head, system.Limits.Processes,
            (VirtualAddress at, out LinkedListWalk.Links links, out Process process) =>
            {
                var eprocess = at - (ulong)layout.ActiveProcessLinks;
                process = null!;
                if (!LinkedListWalk.TryReadLinks(system.Kernel, at, out links))
                    return false;

                // A part of the structure may be missing while its links are there: the list goes on, the process is told by what there is.
                if (!reader.TryRead(eprocess, out var bytes))
                    warnings.Add($"{ListName}: a part of the EPROCESS at {eprocess} is not in memory; its fields read as zero");
                process = reader.Describe(eprocess, bytes, FoundBy.List, isListed: true);
                return true;
            },
            ListName, warnings, ct);
    }
}
