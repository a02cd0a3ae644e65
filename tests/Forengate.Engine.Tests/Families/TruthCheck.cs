using Forengate.Memory;
using Forengate.Testing.Twins;
using Forengate.Windows;

namespace Forengate.Engine.Tests.Families;

/// <summary>Compares what an examination found with a twin's truth.</summary>
internal static class TruthCheck
{
    public static void Everything(Differences differences, TwinTruth truth, Examination examination)
    {
        if (examination.Windows.System is not { } system)
        {
            differences.Require("Windows", false, examination.Windows.Reason ?? "not found");
            return;
        }
        Kernel(differences, truth, system);
        Processors(differences, truth, system);
        Lists(differences, truth, examination, "live");
    }

    public static void Kernel(Differences differences, TwinTruth truth, WindowsSystem system)
    {
        differences.Expect("system DTB", truth.Paging.SystemPml4, system.SystemDirectoryTableBase);
        differences.Expect("kernel base", truth.Kernel.Base, system.Image.Base.Value);
        differences.Expect("kernel size", truth.Kernel.Size, system.Image.Size);
        differences.Expect("time stamp", truth.Build.Timestamp, system.Image.TimeDateStamp);
        differences.Expect("PDB", truth.Build.PdbName, system.Image.CodeView.Name);
        differences.Expect("GUID", truth.Build.PdbGuid.ToUpperInvariant(), system.Image.CodeView.Guid.ToString("N").ToUpperInvariant());
        differences.Expect("age", truth.Build.PdbAge, system.Image.CodeView.Age);
        differences.Expect("version", $"{truth.Build.Major}.{truth.Build.Minor}.{truth.Build.Number}", system.Version.ToString());
        differences.Expect("build lab", truth.Build.Lab, system.Version.BuildLab);
        differences.Expect("KDBG", truth.Kdbg.Va, system.Kdbg?.Address.Value);
        differences.Expect("KDBG encoded", truth.Kdbg.Encoded, system.Kdbg?.Encoded);
        differences.Expect("KDBG decoded", truth.Kdbg.Decoded, Convert.ToHexStringLower(system.Kdbg is { } kdbg ? kdbg.Bytes.Span : default));
        differences.Expect("system time", truth.Times.SystemTimeRaw, system.SharedData?.SystemTime);
        differences.Expect("interrupt time", truth.Times.InterruptTimeRaw, system.SharedData?.InterruptTime);
        differences.Expect("product", truth.Build.ProductType, system.SharedData?.NtProductType);
        differences.Expect("suites", truth.Build.SuiteMask, system.SharedData?.SuiteMask);
        differences.Expect(
            "MmPhysicalMemoryBlock", string.Join(", ", truth.Memory.Runs.Select(run => $"0x{run.FirstPage << Page.Shift:x}-0x{(run.FirstPage + run.Pages) << Page.Shift:x}")),
            string.Join(", ", system.PhysicalMemoryBlock ?? []));
        differences.None("fact not found", system.KernelFacts.Where(fact => fact.Value is null).Select(fact => $"{fact.Name}: {fact.How}"));
    }

    public static void Processors(Differences differences, TwinTruth truth, WindowsSystem system)
    {
        differences.Match("processor", truth.Cpus, cpu => cpu.Index, system.Processors, processor => processor.Number, (cpu, processor) =>
        {
            var name = $"processor {cpu.Index}";
            differences.Expect($"{name} KPCR", cpu.Kpcr, processor.Kpcr.Value);
            differences.Expect($"{name} KPRCB", cpu.Prcb, processor.Kprcb.Value);
            differences.Expect($"{name} context", cpu.Context, processor.Context?.Value);
            differences.Expect($"{name} context frame", cpu.ContextFrame, processor.ContextFrame?.Value);
            differences.Expect($"{name} special registers", cpu.SpecialRegisters, processor.SpecialRegisters?.Value);
            differences.Expect($"{name} vCPU", cpu.Index, processor.Cpu?.Index);
            differences.Expect($"{name} thread", cpu.CurrentThread, processor.CurrentThread?.Value);
            differences.Expect($"{name} process", cpu.CurrentPid, processor.CurrentProcessId);
            differences.Expect($"{name} R12", cpu.Registers.R12, processor.Cpu?.R12);
            differences.Expect($"{name} XMM6 to XMM9", cpu.Registers.Xmm6To9, Convert.ToHexStringLower((processor.Cpu?.Xmm ?? new byte[256]).Span[96..160]));
        });
    }

    public static void Lists(Differences differences, TwinTruth truth, Examination examination, string from)
    {
        var cancellation = TestContext.Current.CancellationToken;
        Processes(differences, $"{from} processes", truth.Processes.Where(process => process.Listed), examination.Processes(scan: false, null, cancellation));
        // Idle is in no list, has no handle and no parent, and lies in the kernel image: no process to anyone who asks.
        Processes(differences, $"{from} processes by scan", truth.Processes.Where(process => process.State != "idle"), examination.Processes(scan: true, null, cancellation));
        Drivers(differences, $"{from} drivers", truth.Drivers.Where(driver => !driver.Hidden), examination.Drivers(scan: false, null, cancellation));
        Drivers(differences, $"{from} drivers by scan", truth.Drivers, examination.Drivers(scan: true, null, cancellation));
    }

    public static void Processes(Differences differences, string what, IEnumerable<TrueProcess> expected, Listing<Process> listing)
    {
        differences.None($"{what}, warning", listing.Warnings);
        differences.Match(what, expected, process => process.Eprocess, listing.Items, process => process.Address.Value, (wanted, found) =>
        {
            var name = $"{what}: {wanted.Name} ({wanted.Pid}, {wanted.State})";
            differences.Expect($"{name} PID", wanted.Pid, found.Id);
            differences.Expect($"{name} parent", wanted.ParentPid, found.ParentId);
            differences.Expect($"{name} name", wanted.Name, found.Name);
            differences.Expect($"{name} path", NullIfEmpty(wanted.NativePath), NullIfEmpty(found.ImagePath));
            // The address space of a process that has ended is gone, and with it what it was started by.
            differences.Expect($"{name} command line", wanted.ExitTime is null ? NullIfEmpty(wanted.CommandLine) : null, NullIfEmpty(found.CommandLine));
            differences.Expect($"{name} created", wanted.CreateTime, found.CreateTime?.UtcDateTime);
            differences.Expect($"{name} exited", wanted.ExitTime, found.ExitTime?.UtcDateTime);
            differences.Expect($"{name} has exited", wanted.ExitTime is not null, found.HasExited);
            differences.Expect($"{name} threads", (uint)wanted.ActiveThreads, found.ThreadCount);
            differences.Expect($"{name} session", wanted.Session, found.SessionId);
            differences.Expect($"{name} DTB", wanted.Dtb & ~0xFFFUL, found.DirectoryTableBase);
            differences.Expect($"{name} user DTB", wanted.UserDtb & ~0x8000_0000_0000_0FFFUL, found.UserDirectoryTableBase ?? 0);
            differences.Expect($"{name} WoW64", wanted.Wow64, found.IsWow64);
            differences.Expect($"{name} PEB", wanted.Peb, found.Peb?.Value ?? 0);
            differences.Expect($"{name} EPROCESS in memory", wanted.EprocessPa, found.PhysicalAddress?.Value);
            differences.Expect($"{name} listed", wanted.Listed, found.IsListed);
        });
    }

    public static void Drivers(Differences differences, string what, IEnumerable<TrueDriver> expected, Listing<Driver> listing)
    {
        differences.None($"{what}, warning", listing.Warnings);
        differences.Match(what, expected, driver => driver.EntryVa, listing.Items, driver => driver.Address.Value, (wanted, found) =>
        {
            var name = $"{what}: {wanted.Name}";
            differences.Expect($"{name} name", wanted.Name, found.Name);
            differences.Expect($"{name} path", wanted.Path, found.Path);
            differences.Expect($"{name} base", wanted.Base, found.Base.Value);
            differences.Expect($"{name} size", wanted.Size, found.Size);
            differences.Expect($"{name} entry point", wanted.EntryPoint, found.EntryPoint?.Value);
            differences.Expect($"{name} time stamp", wanted.Timestamp, found.TimeDateStamp);
            differences.Expect($"{name} PDB", wanted.PdbGuid, found.CodeView?.Guid.ToString("N").ToUpperInvariant());
            differences.Expect($"{name} listed", !wanted.Hidden, found.IsListed);
        });
    }

    private static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
