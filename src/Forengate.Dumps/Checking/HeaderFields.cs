using Forengate.Memory;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Dumps;

/// <summary>Lists a header's fields as they stand in a file.</summary>
public static class HeaderFields
{
    private const string FromFile = "the file";
    private const string IsFiller = "filler (the letters PAGE)";

    public static IReadOnlyList<HeaderField> Of(CrashDumpHeader32 header) =>
    [
        new("MajorVersion", CrashDumpLayout32.MajorVersion, $"0x{header.MajorVersion:x}", FromFile),
        new("MinorVersion", CrashDumpLayout32.MinorVersion, $"0x{header.MinorVersion:x}", FromFile),
        new("DirectoryTableBase", CrashDumpLayout32.DirectoryTableBase, $"0x{header.DirectoryTableBase:x}", FromFile),
        new("PsLoadedModuleList", CrashDumpLayout32.PsLoadedModuleList, $"0x{header.PsLoadedModuleList:x}", FromFile),
        new("PsActiveProcessHead", CrashDumpLayout32.PsActiveProcessHead, $"0x{header.PsActiveProcessHead:x}", FromFile),
        new("NumberProcessors", CrashDumpLayout32.NumberProcessors, $"0x{header.NumberProcessors:x}", FromFile),
        new("BugCheckCode", CrashDumpLayout32.BugCheckCode, $"0x{header.BugCheckCode:x}", FromFile),
        new("PaeEnabled", CrashDumpLayout32.PaeEnabled, header.PaeEnabled ? "1" : "0", FromFile),
        header.KdDebuggerDataBlock == CrashDumpHeader64.Filler
            ? new("KdDebuggerDataBlock", CrashDumpLayout32.KdDebuggerDataBlock, null, IsFiller)
            : new("KdDebuggerDataBlock", CrashDumpLayout32.KdDebuggerDataBlock, $"0x{header.KdDebuggerDataBlock:x}", FromFile),
        new("DumpType", CrashDumpLayout32.DumpType, $"0x{(uint)header.DumpType:x}", FromFile),
    ];

    public static IReadOnlyList<HeaderField> Of(CrashDumpHeader64 header)
    {
        var fields = new List<HeaderField>();
        Dword("MajorVersion", L.MajorVersion, header.MajorVersion);
        Dword("MinorVersion", L.MinorVersion, header.MinorVersion);
        Qword("DirectoryTableBase", L.DirectoryTableBase, header.DirectoryTableBase);
        Qword("PfnDataBase", L.PfnDataBase, header.PfnDataBase);
        Qword("PsLoadedModuleList", L.PsLoadedModuleList, header.PsLoadedModuleList);
        Qword("PsActiveProcessHead", L.PsActiveProcessHead, header.PsActiveProcessHead);
        Dword("MachineImageType", L.MachineImageType, header.MachineImageType);
        Dword("NumberProcessors", L.NumberProcessors, header.NumberProcessors);
        Dword("BugCheckCode", L.BugCheckCode, header.BugCheckCode);
        Qword("BugCheckParameter1", L.BugCheckParameter1, header.BugCheckParameter1);
        Qword("BugCheckParameter2", L.BugCheckParameter2, header.BugCheckParameter2);
        Qword("BugCheckParameter3", L.BugCheckParameter3, header.BugCheckParameter3);
        Qword("BugCheckParameter4", L.BugCheckParameter4, header.BugCheckParameter4);
        Qword("KdDebuggerDataBlock", L.KdDebuggerDataBlock, header.KdDebuggerDataBlock);
        Dword("PhysicalMemoryBlock.NumberOfRuns", L.NumberOfRuns, header.NumberOfRuns);
        Qword("PhysicalMemoryBlock.NumberOfPages", L.NumberOfPages, header.NumberOfPages);
        Dword("Exception.ExceptionCode", L.ExceptionCode, header.ExceptionCode);
        Qword("Exception.ExceptionAddress", L.ExceptionAddress, header.ExceptionAddress);
        Dword("DumpType", L.DumpType, (uint)header.DumpType);
        Qword("RequiredDumpSpace", L.RequiredDumpSpace, header.RequiredDumpSpace);
        Qword("SystemTime", L.SystemTime, header.SystemTime);
        fields.Add(new HeaderField("Comment", L.Comment, $"'{header.Comment}'", FromFile));
        Qword("SystemUpTime", L.SystemUpTime, header.SystemUpTime);
        Dword("MiniDumpFields", L.MiniDumpFields, header.MiniDumpFields);
        Dword("SecondaryDataState", L.SecondaryDataState, header.SecondaryDataState);
        Dword("ProductType", L.ProductType, header.ProductType);
        Dword("SuiteMask", L.SuiteMask, header.SuiteMask);
        Dword("WriterStatus", L.WriterStatus, header.WriterStatus);
        fields.Add(new HeaderField("KdSecondaryVersion", L.KdSecondaryVersion, $"{header.KdSecondaryVersion}", FromFile));
        if (header.MinorVersion >= L.PagingLevelsSince)
            fields.Add(new HeaderField("PagingLevels", L.PagingLevels, $"{header.PagingLevels}", FromFile));
        Dword("Attributes", L.Attributes, (uint)header.Attributes);
        Dword("BootId", L.BootId, header.BootId);
        return fields;

        void Dword(string name, int offset, uint value) =>
            fields.Add(value == CrashDumpHeader64.Filler ? new(name, offset, null, IsFiller) : new(name, offset, $"0x{value:x}", FromFile));

        void Qword(string name, int offset, ulong value) =>
            fields.Add(value == CrashDumpHeader64.LongFiller ? new(name, offset, null, IsFiller) : new(name, offset, $"0x{value:x}", FromFile));
    }
}
