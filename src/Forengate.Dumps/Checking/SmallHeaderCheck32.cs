using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>The header of a 32-bit small dump against itself: filler in fields that a debugger shows or acts on, impossible values.</summary>
internal static class SmallHeaderCheck32
{
    private const uint MachineX86 = 0x14C;

    /// <summary>Bits of the affinity masks of 32-bit Windows.</summary>
    private const uint MaxProcessors = 32;

    public static void Run(CrashDumpHeader32 header, CheckFindings findings)
    {
        Set(findings, "MajorVersion", header.MajorVersion);
        if (Set(findings, "MinorVersion", header.MinorVersion) && header.MinorVersion == 0)
            findings.Error(CheckCode.HeaderValue, "MinorVersion, the build number, is 0");
        if (Set(findings, "DirectoryTableBase", header.DirectoryTableBase) && header.DirectoryTableBase == 0)
            findings.Error(CheckCode.HeaderValue, "DirectoryTableBase is 0: a debugger does not open the dump");
        if (Set(findings, "MachineImageType", header.MachineImageType) && header.MachineImageType != MachineX86)
            findings.Error(CheckCode.HeaderValue, $"MachineImageType 0x{header.MachineImageType:x} is no 32-bit machine whose dumps are known (x86 has 0x{MachineX86:x})");
        if (Set(findings, "NumberProcessors", header.NumberProcessors) && header.NumberProcessors is 0 or > MaxProcessors)
            findings.Error(CheckCode.HeaderValue, $"NumberProcessors is {header.NumberProcessors}: 32-bit Windows runs on 1 to {MaxProcessors}");
        Set(findings, "BugCheckCode", header.BugCheckCode);
        for (var i = 1; i <= 4; i++)
            Set(findings, $"BugCheckParameter{i}", header.BugCheckParameter(i));
        if (Set(findings, "Exception.ExceptionCode", header.ExceptionCode) && header.ExceptionCode == 0)
            findings.Error(CheckCode.HeaderValue, "Exception.ExceptionCode is 0: a debugger speaks of an unknown exception; genuine headers have 0x80000003");
        if (header.SystemTime is 0 or > long.MaxValue or CrashDumpHeader64.LongFiller)
            findings.Error(CheckCode.HeaderValue, $"SystemTime 0x{header.SystemTime:x} is no time");
    }

    private static bool Set(CheckFindings findings, string name, uint value)
    {
        if (value != CrashDumpHeader64.Filler)
            return true;
        findings.Error(CheckCode.Filler, $"{name} still holds the letters PAGE, and debuggers act on it");
        return false;
    }
}
