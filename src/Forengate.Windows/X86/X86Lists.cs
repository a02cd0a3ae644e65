using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Processes and drivers of a 32-bit system, by Windows' own lists; where one is broken, from both ends.</summary>
public static class X86Lists
{
    private const string ModuleListName = "PsLoadedModuleList";

    /// <summary>Public layouts of 32-bit user mode (winternl.h; <c>_PEB</c> and <c>_RTL_USER_PROCESS_PARAMETERS</c> of all 21 type tables): parameters in the PEB, path and command line in them.</summary>
    private const int PebParameters = 0x10, ParametersImagePath = 0x38, ParametersCommandLine = 0x40;

    /// <summary>Follows <c>PsActiveProcessHead</c>.</summary>
    public static Listing<Process> Processes(X86System system, CancellationToken ct = default)
    {
        var warnings = new WarningList(system.Limits.Warnings);
        var (kernel, layout) = (system.Kernel, system.Layout);
        var buffer = new byte[layout.ProcessLength];
        var (processes, torn) = SettledWalk.Run(
            kernel, system.ProcessListHead, ProcessList.ListName, warnings, system.Limits.Warnings, Walk, process => process.Address + (ulong)layout.ProcessLinks);
        if (processes.Count == 0)
            warnings.Add($"{ProcessList.ListName}: no process found");
        return new Listing<Process>(processes, warnings.ToList()) { Torn = torn };

        List<Process> Walk(WarningList warnings) => LinkedListWalk.Follow(
            kernel, system.ProcessListHead, system.Limits.Processes,
            (VirtualAddress at, out LinkedListWalk.Links links, out Process process) =>
            {
                process = null!;
                if (!LinkedListWalk.TryReadLinks(kernel, at, out links))
                    return false;
                var eprocess = at - (ulong)layout.ProcessLinks;
                buffer.AsSpan().Clear();
                if (!kernel.TryRead(eprocess, buffer))
                    warnings.Add($"{ProcessList.ListName}: a part of the EPROCESS at {eprocess} is not in memory");
                process = Describe(system, eprocess, buffer);
                return true;
            },
            ProcessList.ListName, warnings, ct);
    }

    /// <summary>Follows <c>PsLoadedModuleList</c>.</summary>
    public static Listing<Driver> Drivers(X86System system, CancellationToken ct = default)
    {
        var warnings = new WarningList(system.Limits.Warnings);
        if (system.ModuleListHead is not { } head)
            return new Listing<Driver>([], [$"{ModuleListName}: neither KDBG nor the kernel's exports have it"]);
        var kernel = system.Kernel;
        var buffer = new byte[system.Layout.Module.Length];
        var (drivers, torn) = SettledWalk.Run(kernel, head, ModuleListName, warnings, system.Limits.Warnings, Walk, static driver => driver.Address);
        if (drivers.Count == 0)
            warnings.Add($"{ModuleListName}: no driver found");
        return new Listing<Driver>(drivers, warnings.ToList()) { Torn = torn };

        List<Driver> Walk(WarningList warnings) => LinkedListWalk.Follow(
            kernel, head, system.Limits.Drivers,
            (VirtualAddress at, out LinkedListWalk.Links links, out Driver driver) =>
            {
                driver = null!;
                if (!LinkedListWalk.TryReadLinks(kernel, at, out links))
                    return false;
                buffer.AsSpan().Clear();
                if (!kernel.TryRead(at, buffer))
                    warnings.Add($"{ModuleListName}: a part of the entry at {at} is not in memory");
                driver = DescribeDriver(system, at, buffer);
                return true;
            },
            ModuleListName, warnings, ct);
    }

    /// <summary>Looks for processes in all that the kernel maps, beside the list.</summary>
    /// <param name="system">Where.</param>
    /// <param name="progress">Told the share of memory done, 0 to 1.</param>
    /// <param name="ct">Ends it.</param>
    public static Listing<Process> ScanProcesses(X86System system, IProgress<double>? progress = null, CancellationToken ct = default)
    {
        var found = X86Scan.Processes(system, progress, ct);

        // Behind the scan: what came into the list while memory was looked through is not hidden.
        var listing = Processes(system, ct);
        var listed = listing.Items.Select(static process => process.Address).ToHashSet();
        var buffer = new byte[system.Layout.ProcessLength];
        var processes = new List<Process>();
        foreach (var at in found)
        {
            if (system.Kernel.TryRead(at, buffer))
                processes.Add(Describe(system, at, buffer) with { FoundBy = FoundBy.Scan, IsListed = listed.Contains(at) });
        }
        return listing with { Items = [.. processes.OrderBy(static process => process.Id).ThenBy(static process => process.CreateTime)], Warnings = [.. listing.Warnings, .. Missed(listed, found, "processes")] };
    }

    /// <summary>The same for drivers.</summary>
    /// <inheritdoc cref="ScanProcesses"/>
    public static Listing<Driver> ScanDrivers(X86System system, IProgress<double>? progress = null, CancellationToken ct = default)
    {
        var found = X86Scan.Drivers(system, progress, ct);
        var listing = Drivers(system, ct);
        var listed = listing.Items.Select(static driver => driver.Address).ToHashSet();
        var buffer = new byte[system.Layout.Module.Length];
        var drivers = new List<Driver>();
        foreach (var at in found)
        {
            if (system.Kernel.TryRead(at, buffer))
                drivers.Add(DescribeDriver(system, at, buffer) with { FoundBy = FoundBy.Scan, IsListed = listed.Contains(at) });
        }
        return listing with { Items = [.. drivers.OrderBy(static driver => driver.Base)], Warnings = [.. listing.Warnings, .. Missed(listed, found, "drivers")] };
    }

    private static IEnumerable<string> Missed(HashSet<VirtualAddress> listed, IReadOnlyList<VirtualAddress> found, string what)
    {
        var missed = listed.Count - listed.Intersect(found).Count();
        if (missed != 0)
            yield return $"scan: {missed} listed {what} do not have the shape that is looked for: look at them by the list";
    }

    private static Process Describe(X86System system, VirtualAddress eprocess, ReadOnlySpan<byte> bytes)
    {
        var (kernel, layout) = (system.Kernel, system.Layout);
        var table = X86Pointers.TableBase(Dword(bytes, layout.DirectoryTableBase), kernel.Levels);
        var peb = Dword(bytes, layout.Peb);

        // Where a neighbour's layout was taken, nothing has shown where the exit time is.
        var exit = layout.Build == system.Version.Build ? WindowsTime.FromFileTime(BinaryPrimitives.ReadUInt64LittleEndian(bytes[layout.ExitTime..])) : null;
        var (path, line) = peb == 0 || table == 0 ? default : Parameters(new WindowsAddressSpace(kernel.Memory, table, kernel.Levels), new VirtualAddress(peb), (uint)system.Image.Base.Value);
        var shortName = UnicodeString.Ascii(bytes.Slice(layout.ImageFileName, X86Layout.ImageFileNameLength));
        var longName = path?[(path.LastIndexOf('\\') + 1)..];
        var physical = kernel.Translate(eprocess);
        return new Process
        {
            Id = Dword(bytes, layout.ProcessId),
            ParentId = Dword(bytes, layout.ParentId),

            // The process's own memory may say anything: it only completes a name that the kernel cut.
            Name = longName is not null && shortName.Length >= X86Layout.ImageFileNameLength - 1 && longName.StartsWith(shortName, StringComparison.OrdinalIgnoreCase) ? longName : shortName,
            CommandLine = line,
            CreateTime = WindowsTime.FromFileTime(BinaryPrimitives.ReadUInt64LittleEndian(bytes[layout.CreateTime..])),
            ExitTime = exit,
            ThreadCount = Dword(bytes, layout.ActiveThreads),
            DirectoryTableBase = table,
            IsWow64 = false,
            Address = eprocess,
            PhysicalAddress = physical.Ok ? physical.Address : null,
            Peb = peb == 0 ? null : new VirtualAddress(peb),
            FoundBy = FoundBy.List,
            IsListed = true,
            HasExited = exit is not null,
        };
    }

    /// <summary>Path of the image and command line, as far as they lie in the user's half.</summary>
    private static (string? Path, string? Line) Parameters(WindowsAddressSpace own, VirtualAddress peb, uint kernelBase)
    {
        if (!own.TryRead(peb + PebParameters, out uint parameters) || parameters == 0 || parameters >= kernelBase)
            return default;
        string? Text(int offset) => own.TryRead(new VirtualAddress(parameters + (ulong)offset), out ulong descriptor) && descriptor >> 32 < kernelBase
            ? X86Pointers.ReadString(own, new VirtualAddress(parameters + (ulong)offset)) : null;
        return (Text(ParametersImagePath), Text(ParametersCommandLine));
    }

    private static Driver DescribeDriver(X86System system, VirtualAddress entry, ReadOnlySpan<byte> bytes)
    {
        var (kernel, layout) = (system.Kernel, system.Layout.Module);
        var path = X86Pointers.ReadString(kernel, entry + (ulong)layout.Path) ?? "";
        var name = X86Pointers.ReadString(kernel, entry + (ulong)layout.Name) ?? "";
        var start = new VirtualAddress(Dword(bytes, layout.Base));
        var header = X86Pointers.IsKernel((uint)start.Value) ? LoadedImage.Read(kernel, start) : null;
        var (entryPoint, stamp) = (Dword(bytes, layout.EntryPoint), Dword(bytes, layout.TimeDateStamp));
        return new Driver
        {
            Name = name.Length > 0 ? name : path[(path.LastIndexOf('\\') + 1)..],
            Path = path,
            Base = start,
            Size = Dword(bytes, layout.ImageSize),
            EntryPoint = entryPoint == 0 ? null : new VirtualAddress(entryPoint),
            Address = entry,
            FoundBy = FoundBy.List,
            IsListed = true,
            CodeView = header?.ReadCodeView(kernel),
            TimeDateStamp = header?.TimeDateStamp ?? (stamp != 0 ? stamp : null),
        };
    }

    private static uint Dword(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
}
