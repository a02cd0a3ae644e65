using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>A dump of 32-bit Windows as a debugger reads it: the header's page table, KDBG, modules, processes; then against the system that a search finds in its memory.</summary>
internal sealed class X86Check(uint[] header, AddressSpace space, X86System? windows, CheckFindings findings)
{
    private const uint Filler = CrashDumpHeader64.Filler, KernelStart = 0x8000_0000, MinDebuggerData = 0x290, MaxDebuggerData = 0x2000, MaxModules = 16_384, MaxProcesses = 262_144;

    // LDR_DATA_TABLE_ENTRY, the same in every 32-bit version.
    private const int ModuleBase = 0x18, ModuleSize = 0x20, ModuleName = 0x2C;

    /// <summary>KI_USER_SHARED_DATA for x86 (ntddk.h), and NtMajorVersion in it.</summary>
    private static readonly VirtualAddress s_version = new(0xFFDF_0000 + 0x26C);

    /// <summary>Judges the memory of a dump.</summary>
    /// <returns>Modules and processes, null for a list that could not be walked.</returns>
    public static (int? Modules, int? Processes) Run(CrashDumpHeader32 header, PhysicalMemory memory, WindowsSearch? search, CheckFindings findings)
    {
        var levels = header.PaeEnabled ? 3 : 2;
        uint[] places = [header.PsLoadedModuleList, header.PsActiveProcessHead, header.KdDebuggerDataBlock];
        AddressSpace space = new WindowsAddressSpace(memory, header.DirectoryTableBase, levels);
        var windows = search?.X86;
        if (!places.Any(place => place >= KernelStart && space.TryRead(new VirtualAddress(place), out byte _)))
        {
            findings.Error(CheckCode.DirectoryTable, $"DirectoryTableBase 0x{header.DirectoryTableBase:x} with {(levels == 3 ? "" : "no ")}PAE maps none of the addresses in the header"
                + (windows is null ? "" : $"; the System process's is 0x{windows.Kernel.DirectoryTableBase.Value:x}, with {(windows.IsPae ? "" : "no ")}PAE"));
            if (windows is null)
                return default;
            space = windows.Kernel;
        }
        else if (windows is not null && windows.Kernel.DirectoryTableBase != space.DirectoryTableBase)
        {
            findings.Warning(CheckCode.DirectoryTable, $"DirectoryTableBase 0x{header.DirectoryTableBase:x} maps the kernel, but is not the System process's, which is 0x{windows.Kernel.DirectoryTableBase.Value:x}");
        }
        if (!space.TryRead(s_version, out uint major) || major is < 5 or > 20)
            findings.Warning(CheckCode.SharedData, "KUSER_SHARED_DATA is not where the page table should lead to it: a debugger shows no version and no time");
        var check = new X86Check(places, space, windows, findings);
        var start = check.DebuggerBlock();
        var modules = check.Modules(start);
        var processes = check.Walk(places[1], MaxProcesses, "PsActiveProcessHead", CheckCode.Processes, static _ => { });
        if (processes == 0)
            findings.Error(CheckCode.Processes, $"PsActiveProcessHead at 0x{places[1]:x} is empty: a debugger shows no process");
        if (windows is not null)
            Compare(header, windows, findings);
        else if (search is not null)
            findings.Warning(CheckCode.Windows, $"Windows was not found by search in this memory, so the header was compared with nothing: {search.Reason}");
        return (modules, processes);
    }

    /// <summary>The kernel base that KDBG names; null where there is none.</summary>
    private uint? DebuggerBlock()
    {
        var address = header[2];
        if (address == Filler)
        {
            findings.Note(CheckCode.DebuggerData, "KdDebuggerDataBlock is filler: a debugger looks for KDBG by itself" + (windows?.Kdbg is { } found ? $"; it is at {found.Address}" : ""));
            return (uint?)windows?.Image.Base.Value;
        }
        Span<byte> block = stackalloc byte[(int)DebuggerDataField.KernBase + sizeof(ulong)];
        if (!space.TryRead(new VirtualAddress(address), block))
        {
            findings.Error(CheckCode.DebuggerData, $"KdDebuggerDataBlock 0x{address:x} is not present or unreadable: a debugger finds no processor and no version");
            return null;
        }
        var size = BinaryPrimitives.ReadUInt32LittleEndian(block[(int)DebuggerDataField.Size..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(block[(int)DebuggerDataField.OwnerTag..]) != DebuggerData.Tag)
        {
            var encoded = windows?.Kdbg is { Encoded: true } kdbg && kdbg.Address.Value == address;
            findings.Error(encoded ? CheckCode.DebuggerDataEncoded : CheckCode.DebuggerData, encoded
                ? $"KDBG at 0x{address:x} is still encoded: a debugger cannot read it without the kernel's symbols"
                : $"at KdDebuggerDataBlock 0x{address:x} lies no KDBG: its tag is missing");
            return null;
        }
        if (size is < MinDebuggerData or > MaxDebuggerData)
            findings.Error(CheckCode.DebuggerData, $"KDBG at 0x{address:x} says it has 0x{size:x} bytes");
        var start = BinaryPrimitives.ReadUInt32LittleEndian(block[(int)DebuggerDataField.KernBase..]);
        if (windows is not null && start != windows.Image.Base.Value)
            findings.Error(CheckCode.DebuggerData, $"KDBG's KernBase is 0x{start:x}, the kernel is at {windows.Image.Base}");
        foreach (var (field, own, name) in ((DebuggerDataField, uint, string)[])[(DebuggerDataField.PsLoadedModuleList, header[0], "PsLoadedModuleList"), (DebuggerDataField.PsActiveProcessHead, header[1], "PsActiveProcessHead")])
        {
            if (space.TryRead(new VirtualAddress(address + (ulong)field), out uint named) && named != own)
                findings.Warning(CheckCode.DebuggerData, $"{name} is 0x{own:x} in the header, 0x{named:x} in KDBG");
        }
        return start;
    }

    private int? Modules(uint? kernel)
    {
        uint? first = null;
        var unnamed = 0;
        var count = Walk(header[0], MaxModules, "PsLoadedModuleList", CheckCode.Modules, at =>
        {
            space.TryRead(new VirtualAddress(at + (ulong)ModuleBase), out uint start);
            space.TryRead(new VirtualAddress(at + (ulong)ModuleSize), out uint size);
            space.TryRead(new VirtualAddress(at + (ulong)ModuleName), out ulong name);
            first ??= start;
            if (start == 0 || size == 0 || (ushort)name == 0 || !space.TryRead(new VirtualAddress(name >> 32), out ushort _))
                unnamed++;
        });
        if (count == 0)
            findings.Error(CheckCode.Modules, $"PsLoadedModuleList at 0x{header[0]:x} is empty: a debugger knows no module, not even the kernel");
        if (unnamed > 0)
            findings.Warning(CheckCode.Modules, $"{unnamed} of {count} modules have no base, size or readable name");
        if (first is { } one && kernel is { } expected && one != expected)
            findings.Error(CheckCode.Modules, $"the first module is at 0x{one:x}, the kernel at 0x{expected:x}: a debugger takes the first for the kernel");
        return count;
    }

    private int? Walk(uint head, uint limit, string name, string code, Action<uint> visit)
    {
        if (head < KernelStart || !space.TryRead(new VirtualAddress(head), out uint at))
        {
            findings.Error(code, $"{name} 0x{head:x} cannot be read: a debugger shows nothing of that list");
            return null;
        }
        var (count, previous) = (0, head);
        while (at != head)
        {
            if (at < KernelStart || !space.TryRead(new VirtualAddress(at), out ulong links) || count >= limit)
            {
                findings.Error(code, $"{name}: after {count} entries the list leads to 0x{at:x}, {(count >= limit ? "and does not end" : "where none is")}: a debugger stops there");
                return count;
            }
            if ((uint)(links >> 32) != previous)
                findings.Warning(code, $"{name}: the entry at 0x{at:x} points back to 0x{(uint)(links >> 32):x}, not to 0x{previous:x}");
            visit(at);
            count++;
            (previous, at) = (at, (uint)links);
        }
        return count;
    }

    private static void Compare(CrashDumpHeader32 header, X86System system, CheckFindings findings)
    {
        if (header.PaeEnabled != system.IsPae)
            findings.Error(CheckCode.HeaderValue, $"PaeEnabled is {(header.PaeEnabled ? 1 : 0)}, the kernel runs {(system.IsPae ? "with" : "without")} PAE");
        if (header.MinorVersion != system.Version.Build && header.MinorVersion != Filler)
            findings.Note(CheckCode.Windows, $"MinorVersion is {header.MinorVersion}, the kernel's build {system.Version.Build}");
        if (system.Processors.Count != 0 && header.NumberProcessors != system.Processors.Count)
            findings.Error(CheckCode.Windows, $"NumberProcessors is {header.NumberProcessors}, Windows runs {system.Processors.Count}");
        if (system.BugCheck is { } bug && bug.Code != header.BugCheckCode)
            findings.Warning(CheckCode.Windows, $"BugCheckCode is 0x{header.BugCheckCode:x}, KiBugCheckData says 0x{bug.Code:x}");
        if (header.PsActiveProcessHead != system.ProcessListHead.Value)
            findings.Error(CheckCode.Processes, $"PsActiveProcessHead is 0x{header.PsActiveProcessHead:x}, the kernel's is {system.ProcessListHead}");
        if (system.ModuleListHead is { } modules && header.PsLoadedModuleList != modules.Value)
            findings.Error(CheckCode.Modules, $"PsLoadedModuleList is 0x{header.PsLoadedModuleList:x}, the kernel's is {modules}");
        if (system.Kdbg is { } kdbg && header.KdDebuggerDataBlock != kdbg.Address.Value && header.KdDebuggerDataBlock != Filler)
            findings.Error(CheckCode.DebuggerData, $"KdDebuggerDataBlock is 0x{header.KdDebuggerDataBlock:x}, the kernel's KDBG is at {kdbg.Address}");
        foreach (var processor in system.Processors)
        {
            if (!system.Kernel.TryRead(processor.Context + X86Context.SegCs, out uint cs))
                findings.Error(CheckCode.Context, $"the CONTEXT of processor {processor.Number} at {processor.Context} is not in memory");
            else if (cs == 0)
                findings.Warning(CheckCode.Context, $"the CONTEXT of processor {processor.Number} at {processor.Context} has no CS: a debugger shows no registers of it");
        }
    }
}
