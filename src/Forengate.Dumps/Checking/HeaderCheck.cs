using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;
using L = Forengate.Memory.CrashDumpLayout64;

namespace Forengate.Dumps;

/// <summary>
/// The header of a 64-bit dump against itself: filler in fields a debugger acts on, impossible values. Genuine headers carry filler in several other fields; there it is a note.
/// </summary>
internal static class HeaderCheck
{
    private const uint MachineAmd64 = 0x8664, MachineArm64 = 0xAA64, MachineIa64 = 0x200;
    private const uint MaxProcessors = 2048;
    private const uint StatusBreakpoint = 0x8000_0003;

    public static void Run(CrashDumpHeader64 header, CheckFindings findings)
    {
        Type(header, findings);
        if (Dword(findings, "MajorVersion", header.MajorVersion) && Dword(findings, "MinorVersion", header.MinorVersion) && header.MinorVersion == 0)
            findings.Error(CheckCode.HeaderValue, "MinorVersion, the build number, is 0: a debugger takes the system for one of 32 bits");
        if (Qword(findings, "DirectoryTableBase", header.DirectoryTableBase))
            DirectoryTable(header, findings);
        Kernel(findings, "PsLoadedModuleList", header.PsLoadedModuleList, isActedOn: true);
        Kernel(findings, "KdDebuggerDataBlock", header.KdDebuggerDataBlock, isActedOn: true);
        Kernel(findings, "PfnDataBase", header.PfnDataBase, isActedOn: false);
        Kernel(findings, "PsActiveProcessHead", header.PsActiveProcessHead, isActedOn: false);
        if (Dword(findings, "MachineImageType", header.MachineImageType) && header.MachineImageType is not (MachineAmd64 or MachineArm64 or MachineIa64))
            findings.Error(CheckCode.HeaderValue, $"MachineImageType 0x{header.MachineImageType:x} is no 64-bit machine that Windows runs on");
        if (Dword(findings, "NumberProcessors", header.NumberProcessors) && header.NumberProcessors is 0 or > MaxProcessors)
            findings.Error(CheckCode.HeaderValue, $"NumberProcessors is {header.NumberProcessors}: Windows runs on 1 to {MaxProcessors}");
        Dword(findings, "BugCheckCode", header.BugCheckCode);
        Qword(findings, "BugCheckParameter1", header.BugCheckParameter1);
        Qword(findings, "BugCheckParameter2", header.BugCheckParameter2);
        Qword(findings, "BugCheckParameter3", header.BugCheckParameter3);
        Qword(findings, "BugCheckParameter4", header.BugCheckParameter4);
        if (header.DumpType != CrashDumpType.Triage)
        {
            // Bitmap and range dumps have a table of their own: debuggers and Windows leave the runs as filler there.
            if (header.DumpType == CrashDumpType.Full || (uint)header.DumpType == CrashDumpHeader64.Filler)
            {
                Dword(findings, "PhysicalMemoryBlock.NumberOfRuns", header.NumberOfRuns);
                Qword(findings, "PhysicalMemoryBlock.NumberOfPages", header.NumberOfPages);
            }
            Context(header, findings);
        }
        if (Dword(findings, "Exception.ExceptionCode", header.ExceptionCode) && header.ExceptionCode == 0)
            findings.Error(CheckCode.HeaderValue, "Exception.ExceptionCode is 0: a debugger speaks of an unknown exception; genuine headers have 0x80000003");
        if (header.ExceptionAddress == CrashDumpHeader64.LongFiller)
            findings.Warning(CheckCode.Filler, "Exception.ExceptionAddress still holds the letters PAGE");
        Shown(header, findings);
    }

    private static void DirectoryTable(CrashDumpHeader64 header, CheckFindings findings)
    {
        if ((header.DirectoryTableBase & PageTableEntry.AddressMask) == 0)
            findings.Error(CheckCode.HeaderValue, "DirectoryTableBase is 0: a debugger does not open the dump");
        else if ((header.DirectoryTableBase & ~PageTableEntry.AddressMask) != 0)
            findings.Warning(CheckCode.HeaderValue, $"DirectoryTableBase 0x{header.DirectoryTableBase:x} carries flags or a PCID: it should be the plain address of a page");
    }

    private static void Type(CrashDumpHeader64 header, CheckFindings findings)
    {
        if ((uint)header.DumpType == CrashDumpHeader64.Filler)
            findings.Warning(CheckCode.Filler, "DumpType still holds the letters PAGE: debuggers take it for a complete dump, other readers may not");
        else if (header.DumpType is not (>= CrashDumpType.Full and <= CrashDumpType.CompleteMemory) or CrashDumpType.HeaderOnly or CrashDumpType.Automatic)
            findings.Error(CheckCode.HeaderValue, $"DumpType {(uint)header.DumpType} is none that debuggers open");
        if ((uint)header.Attributes == CrashDumpHeader64.Filler)
        {
            // 'PAGE' has the bits of "filtered" (0x40) and "encrypted" (0x100) set.
            if (header.DumpType is CrashDumpType.BitmapFull)
                findings.Error(CheckCode.Filler, "Attributes still holds the letters PAGE: debuggers take this full bitmap dump for an active-memory dump");
            else
                findings.Note(CheckCode.Filler, "Attributes still holds the letters PAGE, as Windows left it in many builds; with this dump type debuggers do not act on it");
        }
        else if ((header.Attributes & CrashDumpAttributes.EncryptedDumpData) != 0)
        {
            findings.Error(CheckCode.Encrypted, "Attributes says that the data is encrypted: decrypt the dump with the key of the machine first");
        }
    }

    /// <summary>What debuggers only show, and leave out or take from elsewhere where it is filler.</summary>
    private static void Shown(CrashDumpHeader64 header, CheckFindings findings)
    {
        if (header.SystemTime == CrashDumpHeader64.LongFiller)
            findings.Error(CheckCode.Filler, "SystemTime still holds the letters PAGE, and debuggers act on it: they show the year 17420");
        else if (header.SystemTime is 0 or > long.MaxValue)
            findings.Error(CheckCode.HeaderValue, $"SystemTime 0x{header.SystemTime:x} is no time: debuggers show none");
        var unset = new List<string>();
        if (header.SystemUpTime is CrashDumpHeader64.LongFiller or 0)
            unset.Add("SystemUpTime");
        if (header.ProductType == CrashDumpHeader64.Filler)
            unset.Add("ProductType");
        if (header.SuiteMask == CrashDumpHeader64.Filler)
            unset.Add("SuiteMask");
        if (unset.Count > 0)
            findings.Note(CheckCode.Filler, $"{string.Join(", ", unset)} not set: debuggers leave it out or take it from memory; genuine headers have that too");
    }

    private static void Context(CrashDumpHeader64 header, CheckFindings findings)
    {
        if (header.MachineImageType != MachineAmd64)
            return;
        var context = new Amd64ContextView(header.ContextRecord);
        if (StartsWithFiller(header.ContextRecord[Amd64ContextLayout.ContextFlags..]) || context.Rip == CrashDumpHeader64.LongFiller)
        {
            findings.Warning(CheckCode.Filler, "ContextRecord still holds the letters PAGE: readers other than debuggers, which take each processor's own, show them as registers");
            return;
        }
        if (context.SegCs == 0)
            findings.Warning(CheckCode.HeaderContext, "ContextRecord has no code selector (SegCs is 0): it holds no registers");
        if (header.ExceptionCode == StatusBreakpoint && header.ExceptionAddress != context.Rip)
            findings.Warning(CheckCode.HeaderContext, $"Exception.ExceptionAddress 0x{header.ExceptionAddress:x} is not where ContextRecord is (rip 0x{context.Rip:x})");
    }

    private static bool Dword(CheckFindings findings, string name, uint value)
    {
        if (value != CrashDumpHeader64.Filler)
            return true;
        findings.Error(CheckCode.Filler, $"{name} still holds the letters PAGE, and debuggers act on it");
        return false;
    }

    private static bool Qword(CheckFindings findings, string name, ulong value)
    {
        if (value != CrashDumpHeader64.LongFiller)
            return true;
        findings.Error(CheckCode.Filler, $"{name} still holds the letters PAGE, and debuggers act on it");
        return false;
    }

    private static void Kernel(CheckFindings findings, string name, ulong value, bool isActedOn)
    {
        var address = new VirtualAddress(value);
        if (address.IsKernel && address.IsCanonical(5))
            return;
        var text = value == CrashDumpHeader64.LongFiller ? $"{name} still holds the letters PAGE" : $"{name} 0x{value:x} is no kernel address";
        var code = value == CrashDumpHeader64.LongFiller ? CheckCode.Filler : CheckCode.HeaderValue;
        if (isActedOn)
            findings.Error(code, $"{text}, and debuggers act on it");
        else
            findings.Warning(code, $"{text}; debuggers do not use it, other readers do");
    }

    private static bool StartsWithFiller(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes) == L.SignatureValue;
}
