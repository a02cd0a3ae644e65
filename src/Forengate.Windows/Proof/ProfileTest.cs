using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Proves a profile against the memory it is used on: whatever its source, what is read by it must agree with itself, with the image, with KDBG and with the CPUs.</summary>
internal static class ProfileTest
{
    /// <summary>Processes and drivers judged, evenly from the whole list: a wrong offset shows in any of them.</summary>
    private const int MaxProcesses = 64;
    private const int MaxDrivers = 64;

    public static ProfileProof Run(WindowsSystem system, CancellationToken ct)
    {
        var sheet = new ProofSheet();
        ImageProof.Run(system, sheet);
        DebuggerProof.Run(system, sheet);
        SharedDataProof(system, sheet);
        var warnings = new WarningList(2);
        var processes = ProcessList.Walk(system, warnings, ct);
        sheet.Check("the process list closes and points back", processes.Count > 0 && warnings.Count == 0, warnings.Count == 0 ? $"{processes.Count} entries" : warnings.ToList()[0], essential: processes.Count == 0);
        ProcessProof.Run(system, Evenly(processes, MaxProcesses), sheet, ct);
        ThreadProof.Run(system, Evenly(processes, MaxProcesses), sheet, ct);
        ProcessorProof.Run(system, processes, sheet);
        warnings = new WarningList(2);
        var drivers = DriverList.Walk(system, warnings, ct);
        sheet.Check("the driver list closes and points back", drivers.Count > 0 && warnings.Count == 0, warnings.Count == 0 ? $"{drivers.Count} entries" : warnings.ToList()[0], essential: drivers.Count == 0);
        DriverProof.Run(system, Evenly(drivers, MaxDrivers), sheet);
        sheet.Check(
            "the memory block's runs are in order", system.AddressOf(KernelGlobal.MmPhysicalMemoryBlock) is null ? null : system.PhysicalMemoryBlock is not null,
            system.PhysicalMemoryBlock is { } runs ? $"{runs.Count} runs" : "it does not parse");
        sheet.Check(
            "the memory block lies within the memory at hand", system.PhysicalMemoryBlock is { Count: > 0 } known ? known[0].Start.Value < system.View.Memory.End.Value : null,
            $"memory ends at 0x{system.View.Memory.End.Value:x}");
        return sheet.ToProof();
    }

    private static void SharedDataProof(WindowsSystem system, ProofSheet sheet)
    {
        // 2005 and 2100 as FILETIMEs: before x64 Windows, after all of it.
        const ulong first = 0x01C4_F000_0000_0000, last = 0x0230_0000_0000_0000;
        const ulong mostTicks = 20UL * 366 * 864_000_000_000;
        var shared = system.SharedData;
        sheet.Check("the shared page holds a system root", shared is null ? null : shared.NtSystemRoot is { Length: > 3 } root && root[1] == ':', shared?.NtSystemRoot ?? "not in memory");
        sheet.Check("the shared page's version is one of Windows'", shared is null ? null : shared.NtMajorVersion is >= 6 and <= 10 && shared.NtMinorVersion < 4, $"{shared?.NtMajorVersion}.{shared?.NtMinorVersion}");
        sheet.Check("the system time is one of our age", shared is null ? null : shared.SystemTime is > first and < last, shared is null ? "not in memory" : WindowsTime.Show(shared.SystemTime));
        sheet.Check("the up time is shorter than any machine's", shared is null ? null : shared.InterruptTime < mostTicks, $"0x{shared?.InterruptTime:x}");
        sheet.Check("the product type is one of three", shared is null ? null : shared.NtProductType is >= 1 and <= 3, $"{shared?.NtProductType}");
        sheet.Equal("the shared page says the kernel's build", shared?.NtBuildNumber, ImageProof.Build(system), "NtBuildNumber");
        var pages = system.PhysicalMemoryBlock?.Aggregate(0UL, static (sum, run) => sum + run.PageCount);
        sheet.Check(
            "the shared page's pages are about the memory block's", shared is null || pages is null ? null : shared.NumberOfPhysicalPages > pages / 2 && shared.NumberOfPhysicalPages < pages * 2,
            $"{shared?.NumberOfPhysicalPages:#,0} and {pages:#,0}");
    }

    private static List<T> Evenly<T>(List<T> all, int most) =>
        all.Count <= most ? all : [.. Enumerable.Range(0, most).Select(i => all[(int)((long)i * all.Count / most)])];
}
