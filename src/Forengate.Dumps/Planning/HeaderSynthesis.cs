using Forengate.Memory;
using Forengate.Windows;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Dumps;

/// <summary>
/// Makes the header of a dump from what is known of a system, field by field, each with its source. The table in docs/formats/crash-dump.md says the same in prose.
/// </summary>
internal sealed class HeaderSynthesis
{
    /// <summary>LIVE_SYSTEM_DUMP (<c>bugcodes.h</c>): the stop code of dumps of systems that did not crash.</summary>
    private const uint LiveSystemDump = 0x161;

    /// <summary>STATUS_BREAKPOINT, not continuable: what genuine headers hold, of live systems and of bugchecks alike.</summary>
    private const uint StatusBreakpoint = 0x8000_0003, NonContinuable = 1;

    private const uint MachineAmd64 = 0x8664;

    /// <summary>Which parts a small dump has: the bits of the real ones that were looked at (17134 of Windows' own, and what the engine writes).</summary>
    private const uint SmallDumpFields = 0xCFF;

    private readonly byte[] _header = new byte[L.HeaderSize];
    private readonly List<HeaderField> _fields = [];
    private readonly DumpFacts _facts;

    private HeaderSynthesis(DumpFacts facts) => _facts = facts;

    public static (byte[] Header, IReadOnlyList<HeaderField> Fields) Make(
        DumpFacts facts, IReadOnlyList<CrashDumpRun> runs, ProcessorChoice choice, string comment, DumpKind kind, ulong bytesBehindHeader, List<string> disagreements)
    {
        var synthesis = new HeaderSynthesis(facts);
        synthesis.Fill(runs, choice, comment, kind, bytesBehindHeader, disagreements);
        return (synthesis._header, synthesis._fields);
    }

    private void Fill(IReadOnlyList<CrashDumpRun> runs, ProcessorChoice choice, string comment, DumpKind kind, ulong bytesBehindHeader, List<string> disagreements)
    {
        var writer = new CrashDumpHeaderWriter64(_header);
        var kdbg = _facts.Kdbg;
        var version = _facts.Version;

        Dword(writer, "MajorVersion", L.MajorVersion, version.KdMajor ?? 0xF, version.KdMajor is null ? "0xF, a free build: KdVersionBlock could not be read" : "KdVersionBlock.MajorVersion");
        Dword(writer, "MinorVersion", L.MinorVersion, version.KdMinor ?? version.Build, version.KdMinor is null ? "the build number; KdVersionBlock could not be read" : "KdVersionBlock.MinorVersion");
        Qword(writer, "DirectoryTableBase", L.DirectoryTableBase, _facts.Kernel.DirectoryTableBase.Value, "the System process's, without PCID");
        Pointer(writer, "PfnDataBase", L.PfnDataBase, PfnDatabase(kdbg), "the value of MmPfnDatabase, which KDBG points to");
        var loaded = kdbg?.Pointer(DebuggerDataField.PsLoadedModuleList);
        Pointer(writer, "PsLoadedModuleList", L.PsLoadedModuleList, loaded ?? _facts.PsLoadedModuleList, loaded is null ? "the kernel's symbols" : "KDBG");
        var active = kdbg?.Pointer(DebuggerDataField.PsActiveProcessHead);
        Pointer(writer, "PsActiveProcessHead", L.PsActiveProcessHead, active ?? _facts.PsActiveProcessHead, active is null ? "the kernel's symbols" : "KDBG");
        Differ("PsLoadedModuleList", loaded, _facts.PsLoadedModuleList, disagreements);
        Differ("PsActiveProcessHead", active, _facts.PsActiveProcessHead, disagreements);
        if (version.MachineType != MachineAmd64)
            disagreements.Add($"the kernel's machine type is 0x{version.MachineType:x}, the image's is AMD64 (0x8664)");
        Dword(writer, "MachineImageType", L.MachineImageType, MachineAmd64, "AMD64");
        Dword(writer, "NumberProcessors", L.NumberProcessors, (uint)_facts.Processors.Count, "KiProcessorBlock");

        FillBugCheck(writer);
        writer.Dword(L.BugCheckPadding, 0);
        writer.Buffer(L.VersionUser, L.VersionUserSize, default);
        Add("VersionUser", L.VersionUser, "''", "empty, as Windows leaves it");
        Pointer(writer, "KdDebuggerDataBlock", L.KdDebuggerDataBlock, kdbg?.Address, "where KDBG was found");
        writer.Runs([.. runs]);
        var pages = runs.Aggregate(0UL, (sum, run) => sum + run.PageCount);
        Add("PhysicalMemoryBlock", L.PhysicalMemoryBlock, $"{runs.Count} runs, {pages} pages", "the hypervisor's ranges and MmPhysicalMemoryBlock");

        FillContext(writer, choice);

        var (type, attributes, name) = TypeOf(kind);
        Dword(writer, "DumpType", L.DumpType, (uint)type, name);
        writer.Dword(L.DumpTypePadding, 0);
        Qword(writer, "RequiredDumpSpace", L.RequiredDumpSpace, L.HeaderSize + bytesBehindHeader, "size of the file");
        FillSharedData(writer);
        writer.Comment(comment);
        Add("Comment", L.Comment, $"'{comment}'", "Forengate");
        if (kind == DumpKind.Small)
            Dword(writer, "MiniDumpFields", L.MiniDumpFields, SmallDumpFields, "what small dumps of Windows and of the debugger have");
        else
            Dword(writer, "MiniDumpFields", L.MiniDumpFields, 0, "none: not a small dump");
        Dword(writer, "SecondaryDataState", L.SecondaryDataState, 0, "none: no secondary data follows");
        Dword(writer, "WriterStatus", L.WriterStatus, 0, "STATUS_SUCCESS: the file gets its name when it is whole");
        writer.Buffer(L.Unused1, 4, default);
        if (version.KdSecondaryVersion is { } secondary)
        {
            writer.Byte(L.KdSecondaryVersion, secondary);
            Add("KdSecondaryVersion", L.KdSecondaryVersion, $"{secondary}", "KdVersionBlock.KdSecondaryVersion");
        }
        else
        {
            Add("KdSecondaryVersion", L.KdSecondaryVersion, "0", "KdVersionBlock could not be read");
        }
        if ((version.KdMinor ?? version.Build) >= L.PagingLevelsSince)
        {
            writer.Byte(L.PagingLevels, (byte)_facts.Kernel.Levels);
            Add("PagingLevels", L.PagingLevels, $"{_facts.Kernel.Levels}", "the page tables");
        }
        Dword(
            writer, "Attributes", L.Attributes, (uint)attributes,
            attributes == CrashDumpAttributes.None ? "none; never left to chance, a debugger acts on filler here" : "active memory, which alone tells this kind from a full bitmap");
    }

    private static (CrashDumpType Type, CrashDumpAttributes Attributes, string Name) TypeOf(DumpKind kind) => kind switch
    {
        DumpKind.Bitmap => (CrashDumpType.BitmapFull, CrashDumpAttributes.None, "bitmap of the full address space"),
        DumpKind.Active => (CrashDumpType.BitmapFull, CrashDumpAttributes.FilterDumpFile, "bitmap of the full address space"),
        DumpKind.Kernel => (CrashDumpType.BitmapKernel, CrashDumpAttributes.None, "bitmap of the kernel's address space"),
        DumpKind.Small => (CrashDumpType.Triage, CrashDumpAttributes.None, "small"),
        _ => (CrashDumpType.Full, CrashDumpAttributes.None, "complete"),
    };

    private void FillBugCheck(CrashDumpHeaderWriter64 writer)
    {
        var bug = _facts.BugCheck;
        var source = bug is null ? "LIVE_SYSTEM_DUMP: KiBugCheckData holds no stop code" : _facts.BugCheckSource;
        Dword(writer, "BugCheckCode", L.BugCheckCode, bug?.Code ?? LiveSystemDump, source);
        source = bug is null ? "none: a live system" : _facts.BugCheckSource;
        Qword(writer, "BugCheckParameter1", L.BugCheckParameter1, bug?.Parameter1 ?? 0, source);
        Qword(writer, "BugCheckParameter2", L.BugCheckParameter2, bug?.Parameter2 ?? 0, source);
        Qword(writer, "BugCheckParameter3", L.BugCheckParameter3, bug?.Parameter3 ?? 0, source);
        Qword(writer, "BugCheckParameter4", L.BugCheckParameter4, bug?.Parameter4 ?? 0, source);
    }

    private void FillContext(CrashDumpHeaderWriter64 writer, ProcessorChoice choice)
    {
        var context = new byte[Amd64ContextLayout.Size];
        string source;
        if (choice.Processor is { RegistersAreInMemory: false, Cpu: { } cpu })
        {
            Amd64Context.Write(cpu, context);
            source = choice.Why;
        }
        else if (choice.Processor is { } processor && (processor.Context ?? processor.ContextFrame) is { } place &&
            _facts.Kernel.TryRead(place, context) && new Amd64ContextView(context).SegCs != 0)
        {
            source = $"{choice.Why}; its CONTEXT as memory holds it at {place}{(processor.RegistersAreInMemory ? "" : ", of an earlier moment")}";
        }
        else
        {
            ProcessorPatches.WriteKernelSelectors(context);
            source = $"{choice.Why}; selectors of kernel mode only";
        }
        writer.Buffer(L.ContextRecord, Amd64ContextLayout.Size, context);
        var view = new Amd64ContextView(context);
        Add("ContextRecord", L.ContextRecord, $"rip 0x{view.Rip:x}, rsp 0x{view.Rsp:x}, flags 0x{(uint)view.Flags:x}", source);

        writer.Buffer(L.Exception, L.ExceptionSize, default);
        writer.Dword(L.ExceptionCode, StatusBreakpoint);
        writer.Dword(L.ExceptionFlags, NonContinuable);
        writer.Qword(L.ExceptionAddress, view.Rip);
        Add("Exception", L.Exception, $"0x{StatusBreakpoint:x8} at 0x{view.Rip:x}", "a breakpoint where that processor is, as genuine headers of live systems and bugchecks have it");
    }

    private void FillSharedData(CrashDumpHeaderWriter64 writer)
    {
        const string Unread = "KUSER_SHARED_DATA could not be read";
        if (_facts.Shared is { } shared)
        {
            Qword(writer, "SystemTime", L.SystemTime, shared.SystemTime, $"KUSER_SHARED_DATA.SystemTime ({shared.SystemTimeUtc:yyyy-MM-dd HH:mm:ss.fff} UTC)");
            Qword(writer, "SystemUpTime", L.SystemUpTime, shared.InterruptTime, "KUSER_SHARED_DATA.InterruptTime");
            Dword(writer, "ProductType", L.ProductType, shared.NtProductType, "KUSER_SHARED_DATA.NtProductType");
            Dword(writer, "SuiteMask", L.SuiteMask, shared.SuiteMask, "KUSER_SHARED_DATA.SuiteMask");
        }
        else
        {
            Unknown("SystemTime", L.SystemTime, Unread);
            Unknown("SystemUpTime", L.SystemUpTime, Unread);
            Unknown("ProductType", L.ProductType, Unread);
            Unknown("SuiteMask", L.SuiteMask, Unread);
        }
        if (_facts.Shared?.BootId is { } boot)
            Dword(writer, "BootId", L.BootId, boot, "KUSER_SHARED_DATA.BootId");
        else
            Unknown("BootId", L.BootId, _facts.Shared is null ? Unread : "this build of Windows does not count boots");
    }

    private ulong? PfnDatabaseValue(VirtualAddress variable) => _facts.Kernel.TryRead(variable, out ulong value) && value != 0 ? value : null;

    private VirtualAddress? PfnDatabase(DebuggerBlock? kdbg) =>
        kdbg?.Pointer(DebuggerDataField.MmPfnDatabase) is { } variable && PfnDatabaseValue(variable) is { } value ? new VirtualAddress(value) : null;

    private static void Differ(string name, VirtualAddress? kdbg, VirtualAddress? symbols, List<string> disagreements)
    {
        if (kdbg is { } a && symbols is { } b && a != b)
            disagreements.Add($"{name}: KDBG says {a}, the kernel's symbols {b}; KDBG's is in the header");
    }

    private void Dword(CrashDumpHeaderWriter64 writer, string name, int offset, uint value, string source)
    {
        writer.Dword(offset, value);
        Add(name, offset, $"0x{value:x}", source);
    }

    private void Qword(CrashDumpHeaderWriter64 writer, string name, int offset, ulong value, string source)
    {
        writer.Qword(offset, value);
        Add(name, offset, $"0x{value:x}", source);
    }

    private void Pointer(CrashDumpHeaderWriter64 writer, string name, int offset, VirtualAddress? value, string source)
    {
        if (value is { } known)
            Qword(writer, name, offset, known.Value, source);
        else
            Unknown(name, offset, $"looked for in {source}, in vain");
    }

    private void Unknown(string name, int offset, string why) => Add(name, offset, null, why);

    private void Add(string name, int offset, string? value, string source) => _fields.Add(new HeaderField(name, offset, value, source));
}
