using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>What System and every listed process must look like.</summary>
internal static class ProcessProof
{
    private const byte ProcessObject = 3;
    private const ulong SystemId = 4;

    /// <summary>The clock may have been set since boot.</summary>
    private static readonly TimeSpan s_tolerance = TimeSpan.FromDays(3);

    public static void Run(WindowsSystem system, List<Process> processes, ProofSheet sheet, CancellationToken ct)
    {
        var layout = system.Layouts.Process;
        var reader = new ProcessReader(system.Kernel, layout);
        if (system.SystemProcess is { } own && reader.TryRead(own, out var bytes))
            System(system, reader.Describe(own, bytes, FoundBy.List, isListed: true), bytes, sheet);
        else
            sheet.Check("the System process is where its global says", null, "not in memory");

        var (types, lists, tables, names, paths, pathed, times, timed, exits, exited, profiles, handles, handled) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        var (read, alive) = (0, 0);
        var boot = system.SharedData is { } shared ? WindowsTime.FromFileTime(shared.SystemTime - shared.InterruptTime) - s_tolerance : null;
        var now = system.SharedData is { } page ? WindowsTime.FromFileTime(page.SystemTime) + s_tolerance : null;
        foreach (var process in processes)
        {
            ct.ThrowIfCancellationRequested();
            if (!reader.TryRead(process.Address, out bytes))
                continue;
            read++;
            types += (bytes[layout.HeaderType] & 0x7F) == ProcessObject ? 1 : 0;
            lists += ProcessCensus.IsLinked(system.Kernel, process.Address + (ulong)layout.HeaderWaitListHead) ? 1 : 0;
            profiles += layout.ProfileListHead is { } list && ProcessCensus.IsLinked(system.Kernel, process.Address + (ulong)list) ? 1 : 0;
            names += IsName(bytes.Slice(layout.ImageFileName, ProcessReader.ImageFileNameLength)) ? 1 : 0;
            var ended = BinaryPrimitives.ReadInt32LittleEndian(bytes[PublicLayouts.HeaderSignalState..]) != 0;
            exited += layout.ExitTime is null ? 0 : 1;
            exits += layout.ExitTime is not null && process.HasExited == ended ? 1 : 0;
            if (!ended)
            {
                alive++;
                tables += ShowsKernel(system, process) ? 1 : 0;
                var table = HandleTableFits(system, process);
                handled += table is null ? 0 : 1;
                handles += table == true ? 1 : 0;
            }
            if (process.ImagePath is { } path)
            {
                pathed++;
                paths += NameFits(path, reader.ShortName(bytes)) ? 1 : 0;
            }
            if (process.CreateTime is { } created && boot is not null)
            {
                timed++;
                times += created >= boot && created <= now && (process.ExitTime is not { } end || end >= created) ? 1 : 0;
            }
        }
        sheet.All("listed processes are process objects", types, read, "processes", essential: true);
        sheet.All("their lists of waiters point back", lists, read, "processes");
        sheet.All("their lists of profiles point back", profiles, layout.ProfileListHead is null ? 0 : read, "processes");
        sheet.All("running processes' page tables map the kernel", tables, alive, "running processes", essential: true);
        sheet.All("their names are names", names, read, "processes", essential: true);
        sheet.All("their images' paths end with their names", paths, pathed, "paths");
        sheet.All("they were created between boot and now", times, layout.CreateTime is null ? 0 : timed, "processes");
        sheet.All("those with an exit time are signalled, the others not", exits, exited, "processes");
        sheet.All("their handle tables name them", handles, handled, "handle tables");
        var ids = processes.Select(static process => process.Id).ToList();
        sheet.All("their numbers are multiples of four and their own", ids.Distinct().Count(static id => id is > 0 and < uint.MaxValue && id % 4 == 0), ids.Count, "numbers", essential: true);
        sheet.All(
            "their parents' numbers are multiples of four, not their own", processes.Count(static process => process.ParentId < uint.MaxValue && process.ParentId % 4 == 0 && process.ParentId != process.Id),
            layout.InheritedFromUniqueProcessId is null ? 0 : processes.Count, "numbers");
        sheet.All("their page tables are their own", processes.Select(static process => process.DirectoryTableBase).Distinct().Count(), processes.Count, "tables");
        Pebs(system, processes, sheet);
    }

    private static void System(WindowsSystem system, Process process, ReadOnlySpan<byte> bytes, ProofSheet sheet)
    {
        var layout = system.Layouts.Process;
        sheet.Check("System is process 4", process.Id == SystemId, $"{process.Id}", essential: true);
        sheet.Check("System is called System", UnicodeString.Ascii(bytes.Slice(layout.ImageFileName, ProcessReader.ImageFileNameLength)) == "System", process.Name, essential: true);
        sheet.Check("System has no parent", layout.InheritedFromUniqueProcessId is null ? null : process.ParentId == 0, $"{process.ParentId}");
        sheet.Check("System has no PEB", layout.Peb is { } peb ? BinaryPrimitives.ReadUInt64LittleEndian(bytes[peb..]) == 0 : null, process.Peb?.ToString() ?? "none");
        sheet.Check("System has not ended", layout.ExitTime is null ? null : !process.HasExited, process.ExitTime?.ToString() ?? "no exit time");
        sheet.Check("System's page table is the kernel's", process.DirectoryTableBase == system.SystemDirectoryTableBase, $"0x{process.DirectoryTableBase:x}", essential: true);
        sheet.Check("System's links are in the list of processes", ProcessCensus.IsLinked(system.Kernel, process.Address + (ulong)layout.ActiveProcessLinks), "its neighbours point back to it", essential: true);
        sheet.Check("System's list of waiters points back", ProcessCensus.IsLinked(system.Kernel, process.Address + (ulong)layout.HeaderWaitListHead), "its neighbours point back to it");
    }

    private static void Pebs(WindowsSystem system, List<Process> processes, ProofSheet sheet)
    {
        var (right, total, lines) = (0, 0, 0);
        var build = ImageProof.Build(system);
        foreach (var process in processes)
        {
            if (process.Peb is not { } peb || process.HasExited)
                continue;
            var space = new WindowsAddressSpace(system.Kernel.Memory, process.DirectoryTableBase, system.Levels);
            if (!space.TryRead(peb + PublicLayouts.PebBuildNumber, out ushort number))
                continue;
            total++;
            right += number == build && peb.PageOffset == 0 ? 1 : 0;
            lines += process.CommandLine is not null ? 1 : 0;
        }
        sheet.All("their PEBs say the kernel's build", right, build is null ? 0 : total, "PEBs in memory");
        sheet.Check("most of their PEBs lead to a command line", total == 0 ? null : lines * 2 >= total, $"{lines} of {total} PEBs in memory");
    }

    private static bool ShowsKernel(WindowsSystem system, Process process)
    {
        if (process.DirectoryTableBase == 0 || process.DirectoryTableBase >= system.Kernel.Memory.End.Value)
            return false;
        var space = new WindowsAddressSpace(system.Kernel.Memory, process.DirectoryTableBase, system.Levels);
        return space.Translate(process.Address) is { Ok: true } there && system.Kernel.Translate(process.Address) is { Ok: true } here && there.Address == here.Address;
    }

    /// <summary>The table knows whose it is; null where the profile or memory does not show it.</summary>
    private static bool? HandleTableFits(WindowsSystem system, Process process)
    {
        if (system.Profile.OffsetOf(KernelField.EPROCESS_ObjectTable) is not { } table || system.Profile.OffsetOf(KernelField.HANDLE_TABLE_UniqueProcessId) is not { } id)
            return null;
        if (!system.Kernel.TryReadPointer(process.Address + (ulong)table, out var at) || at.IsNull)
            return null;
        return KernelPointers.IsObject(at, system.Levels) && system.Kernel.TryRead(at + (ulong)id, out uint owner) && owner == process.Id;
    }

    private static bool IsName(ReadOnlySpan<byte> bytes) => bytes.IndexOf((byte)0) is > 0 and var end && !bytes[..end].ContainsAnyInRange((byte)0, (byte)0x1F);

    private static bool NameFits(string path, string name)
    {
        var file = path[(path.LastIndexOf('\\') + 1)..];
        for (var i = 0; i < name.Length; i++)
        {
            if (i >= file.Length)
                return false;
            // What the code page lacks is another character in the short name.
            if (file[i] >= 0x80 || name[i] == '?')
                return true;
            if (char.ToUpperInvariant(file[i]) != char.ToUpperInvariant(name[i]))
                return false;
        }
        return name.Length > 0;
    }
}
