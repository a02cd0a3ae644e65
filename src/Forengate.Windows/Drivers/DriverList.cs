using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>The kernel modules of a system: by Windows' own list, or by their pattern in all of memory.</summary>
public static class DriverList
{
    internal const string ListName = "PsLoadedModuleList";

    /// <summary>Follows <c>PsLoadedModuleList</c>; where the list is broken, from both ends.</summary>
    public static Listing<Driver> Walk(WindowsSystem system, CancellationToken ct = default)
    {
        var warnings = new WarningList(system.Limits.Warnings);
        var (drivers, torn) = Settled(system, warnings, ct);
        if (drivers.Count == 0)
            warnings.Add($"{ListName}: no driver found{(warnings.Count == 0 ? ": the list is empty" : "")}; try --scan");
        return new Listing<Driver>(drivers, warnings.ToList()) { Torn = torn };
    }

    /// <summary>The list as it was at one time, where memory changes while it is read.</summary>
    internal static (List<Driver> Items, TornReads Torn) Settled(WindowsSystem system, WarningList warnings, CancellationToken ct) =>
        SettledWalk.Run(
            system.Kernel, system.ModuleListHead, ListName, warnings, system.Limits.Warnings, own => Walk(system, own, ct),
            driver => driver.Address + (ulong)system.Layouts.Driver.InLoadOrderLinks);

    /// <summary>Finds list entries by their shape in all of memory; ones cut out of the list and remains of unloaded drivers are among them.</summary>
    /// <param name="system">The system.</param>
    /// <param name="progress">Told the share of memory done, 0 to 1.</param>
    /// <param name="ct">Ends the scan by an <see cref="OperationCanceledException"/>.</param>
    public static Listing<Driver> Scan(WindowsSystem system, IProgress<double>? progress = null, CancellationToken ct = default) =>
        new DriverScan(system, ct).Run(progress);

    internal static List<Driver> Walk(WindowsSystem system, WarningList warnings, CancellationToken ct)
    {
        if (system.AddressOf(Symbols.KernelGlobal.PsLoadedModuleList) is not { } head)
        {
            warnings.Add($"{ListName}: the profile does not know it");
            return [];
        }
        var layout = system.Layouts.Driver;
        var reader = new DriverReader(system.Kernel, layout);
        return LinkedListWalk.Follow(
            system.Kernel, head, system.Limits.Drivers,
            (VirtualAddress at, out LinkedListWalk.Links links, out Driver driver) =>
            {
                var entry = at - (ulong)layout.InLoadOrderLinks;
                driver = null!;
                links = default;
                if (!reader.TryRead(entry, out var bytes))
                    return false;
                links = LinkedListWalk.From(bytes[layout.InLoadOrderLinks..]);
                driver = reader.Describe(entry, bytes, FoundBy.List, isListed: true);
                return true;
            },
            ListName, warnings, ct);
    }
}
