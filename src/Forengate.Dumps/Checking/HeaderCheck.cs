using System.Buffers.Binary;
using Forengate.Memory;
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
        var isTriage = header.DumpType == CrashDumpType.Triage;
        Type(header, findings);
        Dword(findings, "MajorVersion", header.MajorVersion);
        Dword(findings, "MinorVersion", header.MinorVersion);
        if (Qword(findings, "DirectoryTableBase", header.DirectoryTableBase) && (header.DirectoryTableBase & Page.OffsetMask) != 0)
            findings.Warning(CheckCode.HeaderValue, $"DirectoryTableBase 0x{header.DirectoryTableBase:x} carries flags or a PCID in its low bits: it should be the plain address of a page");
        Kernel(findings, "PfnDataBase", header.PfnDataBase);
        Kernel(findings, "PsLoadedModuleList", header.PsLoadedModuleList);
        Kernel(findings, "PsActiveProcessHead", header.PsActiveProcessHead);
        if (Dword(findings, "MachineImageType", header.MachineImageType) && header.MachineImageType is not (MachineAmd64 or MachineArm64 or MachineIa64))
            findings.Error(CheckCode.HeaderValue, $"MachineImageType 0x{header.MachineImageType:x} is no 64-bit machine that Windows runs on");
        if (Dword(findings, "NumberProcessors", header.NumberProcessors) && header.NumberProcessors is 0 or > MaxProcessors)
            findings.Error(CheckCode.HeaderValue, $"NumberProcessors is {header.NumberProcessors}: Windows runs on 1 to {MaxProcessors}");
        Dword(findings, "BugCheckCode", header.BugCheckCode);
        Qword(findings, "BugCheckParameter1", header.BugCheckParameter1);
        Qword(findings, "BugCheckParameter2", header.BugCheckParameter2);
        Qword(findings, "BugCheckParameter3", header.BugCheckParameter3);
        Qword(findings, "BugCheckParameter4", header.BugCheckParameter4);
        Kernel(findings, "KdDebuggerDataBlock", header.KdDebuggerDataBlock);
        if (!isTriage)
        {
            Dword(findings, "PhysicalMemoryBlock.NumberOfRuns", header.NumberOfRuns);
            Qword(findings, "PhysicalMemoryBlock.NumberOfPages", header.NumberOfPages);
            Context(header, findings);
        }
        if (Dword(findings, "Exception.ExceptionCode", header.ExceptionCode) && header.ExceptionCode == 0)
            findings.Warning(CheckCode.HeaderValue, "Exception.ExceptionCode is 0: genuine headers have 0x80000003, and a debugger names the exception when it opens the dump");
        Qword(findings, "Exception.ExceptionAddress", header.ExceptionAddress);
        Shown(header, findings);
    }

    private static void Type(CrashDumpHeader64 header, CheckFindings findings)
    {
        if (!Dword(findings, "DumpType", (uint)header.DumpType))
            return;
        if (header.DumpType is not (>= CrashDumpType.Full and <= CrashDumpType.CompleteMemory) or CrashDumpType.HeaderOnly)
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

    /// <summary>What debuggers only show: "not available" where it is filler.</summary>
    private static void Shown(CrashDumpHeader64 header, CheckFindings findings)
    {
        var unset = new List<string>();
        if (header.SystemTime is CrashDumpHeader64.LongFiller or 0)
            unset.Add("SystemTime");
        if (header.SystemUpTime is CrashDumpHeader64.LongFiller or 0)
            unset.Add("SystemUpTime");
        if (header.ProductType == CrashDumpHeader64.Filler)
            unset.Add("ProductType");
        if (header.SuiteMask == CrashDumpHeader64.Filler)
            unset.Add("SuiteMask");
        if (unset.Count > 0)
            findings.Note(CheckCode.Filler, $"{string.Join(", ", unset)} not set: debuggers show \"not available\" there; genuine headers have that too");
    }

    private static void Context(CrashDumpHeader64 header, CheckFindings findings)
    {
        if (header.MachineImageType != MachineAmd64)
            return;
        var context = new Amd64ContextView(header.ContextRecord);
        if (StartsWithFiller(header.ContextRecord[Amd64ContextLayout.ContextFlags..]) || context.Rip == CrashDumpHeader64.LongFiller)
        {
            findings.Error(CheckCode.Filler, "ContextRecord still holds the letters PAGE: a debugger shows them as registers");
            return;
        }
        if (context.SegCs == 0)
            findings.Error(CheckCode.HeaderContext, "ContextRecord has no code selector (SegCs is 0): a debugger's descriptor lookup fails");
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

    private static void Kernel(CheckFindings findings, string name, ulong value)
    {
        if (Qword(findings, name, value) && (!new VirtualAddress(value).IsKernel || !new VirtualAddress(value).IsCanonical(5)))
            findings.Error(CheckCode.HeaderValue, $"{name} 0x{value:x} is no kernel address");
    }

    private static bool StartsWithFiller(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32LittleEndian(bytes) == L.SignatureValue;
}
