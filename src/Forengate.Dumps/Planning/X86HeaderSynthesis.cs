using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;
using L = Forengate.Memory.CrashDumpLayout32;

namespace Forengate.Dumps;

/// <summary>Makes the header of a 32-bit complete or bitmap dump, field by field, each with its source; what is not known keeps Windows' filler.</summary>
internal sealed class X86HeaderSynthesis
{
    private const uint LiveSystemDump = 0x161, StatusBreakpoint = 0x8000_0003, NonContinuable = 1, Machine386 = 0x14C, FreeBuild = 0xF;
    private const int ExceptionSize = 0x50, ExceptionFlags = L.Exception + 4, VersionUserSize = 32;

    private readonly byte[] _header = new byte[L.HeaderSize];
    private readonly List<HeaderField> _fields = [];

    public static (byte[] Header, IReadOnlyList<HeaderField> Fields) Make(
        X86System system, DumpOptions options, IReadOnlyList<CrashDumpRun> runs, ulong behind, byte[] context, string contextSource, string comment)
    {
        var synthesis = new X86HeaderSynthesis();
        synthesis.Fill(system, options, runs, behind, context, contextSource, comment);
        return (synthesis._header, synthesis._fields);
    }

    private void Fill(X86System system, DumpOptions options, IReadOnlyList<CrashDumpRun> runs, ulong behind, byte[] context, string contextSource, string comment)
    {
        for (var at = 0; at < _header.Length; at += sizeof(uint))
            BinaryPrimitives.WriteUInt32LittleEndian(_header.AsSpan(at), CrashDumpLayout64.SignatureValue);
        Put(sizeof(uint), L.ValidDumpValue);
        Dword("MajorVersion", L.MajorVersion, FreeBuild, "a free build, as all that are not for driver tests");
        Dword("MinorVersion", L.MinorVersion, system.Version.Build, "the build number");
        Dword("DirectoryTableBase", L.DirectoryTableBase, (uint)system.Kernel.DirectoryTableBase.Value, "the System process's");
        uint? pfn = system.Kdbg?.Pointer(DebuggerDataField.MmPfnDatabase) is { } variable && system.Kernel.TryRead(variable, out uint value) && value != 0 ? value : null;
        Dword("PfnDataBase", L.PfnDataBase, pfn, "the value of MmPfnDatabase, which KDBG points to");
        Dword("PsLoadedModuleList", L.PsLoadedModuleList, (uint?)system.ModuleListHead?.Value, "KDBG or the kernel's exports");
        Dword("PsActiveProcessHead", L.PsActiveProcessHead, (uint)system.ProcessListHead.Value, "System's list entry, and KDBG where there is one");
        Dword("MachineImageType", L.MachineImageType, Machine386, "I386");
        Dword("NumberProcessors", L.NumberProcessors, (uint)Math.Max(1, system.Processors.Count), system.Processors.Count == 0 ? "at least one: KiProcessorBlock was not found" : "KiProcessorBlock");
        FillBugCheck(options.BugCheck?.Data ?? system.BugCheck, options.BugCheck?.Source ?? "KiBugCheckData");
        _header.AsSpan(L.VersionUser, VersionUserSize).Clear();
        _header[L.PaeEnabled] = (byte)(system.IsPae ? 1 : 0);
        Add("PaeEnabled", L.PaeEnabled, system.IsPae ? "1" : "0", "the page tables");
        Dword("KdDebuggerDataBlock", L.KdDebuggerDataBlock, (uint?)system.Kdbg?.Address.Value, "where KDBG was found");
        FillRuns(runs);

        context.CopyTo(_header, L.ContextRecord);
        _header.AsSpan(L.ContextRecord + context.Length, L.ContextRecordSize - context.Length).Clear();
        var eip = BinaryPrimitives.ReadUInt32LittleEndian(context.AsSpan(X86Context.Eip));
        Add("ContextRecord", L.ContextRecord, $"eip 0x{eip:x}, esp 0x{BinaryPrimitives.ReadUInt32LittleEndian(context.AsSpan(X86Context.Esp)):x}", contextSource);
        _header.AsSpan(L.Exception, ExceptionSize).Clear();
        Put(L.Exception, StatusBreakpoint);
        Put(ExceptionFlags, NonContinuable);
        Put(L.ExceptionAddress, eip);
        Add("Exception", L.Exception, $"0x{StatusBreakpoint:x8} at 0x{eip:x}", "a breakpoint where that processor is");

        FillComment(comment);
        Dword("Attributes", L.Attributes, 0, "none");
        Dword("DumpType", L.DumpType, (uint)(options.Kind == DumpKind.Bitmap ? CrashDumpType.BitmapFull : CrashDumpType.Full), options.Kind == DumpKind.Bitmap ? "a bitmap dump" : "complete");
        Dword("MiniDumpFields", L.MiniDumpFields, 0, "none: not a small dump");
        Dword("SecondaryDataState", L.SecondaryDataState, 0, "none: no secondary data follows");
        Dword("WriterStatus", L.WriterStatus, 0, "STATUS_SUCCESS: the file gets its name when it is whole");
        Qword("RequiredDumpSpace", L.RequiredDumpSpace, L.HeaderSize + behind, "size of the file");
        FillSharedData(system.SharedData);
    }

    private void FillBugCheck(BugCheckData? bug, string known)
    {
        var source = bug is null ? "LIVE_SYSTEM_DUMP: KiBugCheckData holds no stop code" : known;
        Dword("BugCheckCode", L.BugCheckCode, bug?.Code ?? LiveSystemDump, source);
        ReadOnlySpan<ulong> parameters = [bug?.Parameter1 ?? 0, bug?.Parameter2 ?? 0, bug?.Parameter3 ?? 0, bug?.Parameter4 ?? 0];
        for (var i = 0; i < parameters.Length; i++)
            Dword($"BugCheckParameter{i + 1}", L.BugCheckParameter1 + (i * sizeof(uint)), (uint)parameters[i], source);
    }

    private void FillRuns(IReadOnlyList<CrashDumpRun> runs)
    {
        _header.AsSpan(L.PhysicalMemoryBlock, L.PhysicalMemoryBlockSize).Clear();
        var pages = 0UL;
        for (var i = 0; i < runs.Count; i++)
        {
            pages += runs[i].PageCount;
            Put(L.FirstRun + (i * L.RunSize), (uint)runs[i].BasePage);
            Put(L.FirstRun + (i * L.RunSize) + sizeof(uint), (uint)runs[i].PageCount);
        }
        Put(L.NumberOfRuns, (uint)runs.Count);
        Put(L.NumberOfPages, (uint)pages);
        Add("PhysicalMemoryBlock", L.PhysicalMemoryBlock, $"{runs.Count} runs, {pages} pages", "the hypervisor's ranges and MmPhysicalMemoryBlock");
    }

    private void FillComment(string comment)
    {
        var field = _header.AsSpan(L.Comment, L.CommentSize);
        field.Clear();
        for (var i = 0; i < Math.Min(comment.Length, L.CommentSize - 1); i++)
            field[i] = comment[i] is >= ' ' and < (char)0x7F ? (byte)comment[i] : (byte)'?';
        Add("Comment", L.Comment, $"'{comment}'", "Forengate");
    }

    private void FillSharedData(SharedUserData? shared)
    {
        Qword("SystemTime", L.SystemTime, shared?.SystemTime, "KUSER_SHARED_DATA.SystemTime");
        Qword("SystemUpTime", L.SystemUpTime, shared?.InterruptTime, "KUSER_SHARED_DATA.InterruptTime");
        Dword("ProductType", L.ProductType, shared?.NtProductType, "KUSER_SHARED_DATA.NtProductType");
        Dword("SuiteMask", L.SuiteMask, shared?.SuiteMask, "KUSER_SHARED_DATA.SuiteMask");
    }

    private void Dword(string name, int offset, uint? value, string source)
    {
        if (value is { } known)
            Put(offset, known);
        Add(name, offset, value is { } shown ? $"0x{shown:x}" : null, value is null ? $"looked for in {source}, in vain" : source);
    }

    private void Qword(string name, int offset, ulong? value, string source)
    {
        if (value is { } known)
            BinaryPrimitives.WriteUInt64LittleEndian(_header.AsSpan(offset), known);
        Add(name, offset, value is { } shown ? $"0x{shown:x}" : null, value is null ? $"looked for in {source}, in vain" : source);
    }

    private void Put(int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(_header.AsSpan(offset), value);

    private void Add(string name, int offset, string? value, string source) => _fields.Add(new HeaderField(name, offset, value, source));
}
