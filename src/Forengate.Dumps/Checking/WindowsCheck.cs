using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>The header against the system that a search finds in the dump's memory, whatever the header says.</summary>
internal static class WindowsCheck
{
    public static void Run(CrashDumpHeader64 header, WindowsSearch search, CheckFindings findings)
    {
        if (search.System is not { } system)
        {
            findings.Warning(CheckCode.Windows, $"Windows was not found by search in this memory, so the header was compared with nothing: {search.Reason}");
            return;
        }
        if (header.MinorVersion != system.Version.Build && header.MinorVersion != CrashDumpHeader64.Filler)
            findings.Note(CheckCode.Windows, $"MinorVersion is {header.MinorVersion}, the kernel's build {system.Version.Build}");
        if (system.Processors.Count != 0 && header.NumberProcessors != system.Processors.Count)
            findings.Error(CheckCode.Windows, $"NumberProcessors is {header.NumberProcessors}, Windows runs {system.Processors.Count}");
        if (system.BugCheck is { } bug && bug.Code != header.BugCheckCode)
            findings.Warning(CheckCode.Windows, $"BugCheckCode is 0x{header.BugCheckCode:x}, KiBugCheckData says 0x{bug.Code:x}");
        if (system.Kdbg is { } kdbg && kdbg.Address.Value != header.KdDebuggerDataBlock)
            findings.Error(CheckCode.DebuggerData, $"KdDebuggerDataBlock is 0x{header.KdDebuggerDataBlock:x}, the kernel's KDBG is at {kdbg.Address}");
    }
}
