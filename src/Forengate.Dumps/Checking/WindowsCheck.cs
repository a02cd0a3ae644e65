using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>The header against the system that a search finds in the dump's memory, whatever the header says.</summary>
internal static class WindowsCheck
{
    /// <param name="header">As the dump has it.</param>
    /// <param name="search">What a search of the dump's memory found.</param>
    /// <param name="named">The block at the header's address, where there is a plain one.</param>
    /// <param name="findings">Takes the differences.</param>
    public static void Run(CrashDumpHeader64 header, WindowsSearch search, DebuggerBlock? named, CheckFindings findings)
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
        if (system.Kdbg is not { } kdbg || kdbg.Address.Value == header.KdDebuggerDataBlock)
            return;
        if (named is { Encoded: false } && named.Address.Value == header.KdDebuggerDataBlock && IsCopy(named.Bytes.Span, kdbg.Bytes.Span))
            findings.Note(CheckCode.DebuggerData, $"KdDebuggerDataBlock {named.Address} is a decoded copy of the kernel's KDBG at {kdbg.Address}, as QEMU's win-dmp names the one that a driver made");
        else
            findings.Error(CheckCode.DebuggerData, $"KdDebuggerDataBlock is 0x{header.KdDebuggerDataBlock:x}, the kernel's KDBG is at {kdbg.Address}");
    }

    /// <summary>Debuggers are content with a copy, and the links in front are nothing to a copy.</summary>
    private static bool IsCopy(ReadOnlySpan<byte> copy, ReadOnlySpan<byte> original) =>
        copy.Length == original.Length && copy.Length > (int)DebuggerDataField.OwnerTag && copy[(int)DebuggerDataField.OwnerTag..].SequenceEqual(original[(int)DebuggerDataField.OwnerTag..]);
}
