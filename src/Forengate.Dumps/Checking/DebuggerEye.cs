using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>
/// What a debugger goes by once it has opened a complete dump: the header's page table, KUSER_SHARED_DATA through it, KDBG at the header's address.
/// Everything further is read with KDBG's own offsets, as a debugger without symbols does.
/// </summary>
internal sealed class DebuggerEye
{
    /// <summary>KUSER_SHARED_DATA in the kernel half; the same address in every version (<c>ntddk.h</c>, KI_USER_SHARED_DATA).</summary>
    public static readonly VirtualAddress SharedDataAddress = new(0xFFFF_F780_0000_0000);

    private DebuggerEye(AddressSpace space) => Space = space;

    /// <summary>Through the header's DirectoryTableBase, or the true one where that leads nowhere.</summary>
    public AddressSpace Space { get; }

    /// <summary>KDBG as memory holds it, of a believable size; null where there is none.</summary>
    public DebuggerBlock? Kdbg { get; private set; }

    /// <summary>Reads along; null where no page table leads anywhere.</summary>
    /// <param name="header">The dump's header.</param>
    /// <param name="memory">Its memory.</param>
    /// <param name="windows">The system as found by search, where it was.</param>
    /// <param name="findings">What stands in the way.</param>
    public static DebuggerEye? Open(CrashDumpHeader64 header, PhysicalMemory memory, WindowsSystem? windows, CheckFindings findings)
    {
        var space = Walk(header, memory, windows, findings);
        if (space is null)
            return null;
        var eye = new DebuggerEye(space);
        SharedDataCheck.Run(header, space, findings);
        eye.Kdbg = DebuggerBlockCheck.Run(header, space, windows, findings);
        return eye;
    }

    private static AddressSpace? Walk(CrashDumpHeader64 header, PhysicalMemory memory, WindowsSystem? windows, CheckFindings findings)
    {
        foreach (var levels in (ReadOnlySpan<int>)[4, 5])
        {
            var space = new WindowsAddressSpace(memory, header.DirectoryTableBase, levels);
            if (!MapsKernel(space, header))
                continue;
            if (windows is not null && windows.SystemDirectoryTableBase != space.DirectoryTableBase.Value)
                findings.Warning(CheckCode.DirectoryTable, $"DirectoryTableBase 0x{header.DirectoryTableBase:x} maps the kernel, but is not the System process's, which is 0x{windows.SystemDirectoryTableBase:x}");
            return space;
        }

        var given = new WindowsAddressSpace(memory, header.DirectoryTableBase);
        var why = given.Translate(new VirtualAddress(header.KdDebuggerDataBlock));
        var reason = memory.StateOf(given.DirectoryTableBase) is not (PageState.Present or PageState.Zero)
            ? "that page is not in the dump"
            : $"it maps none of the addresses in the header (KdDebuggerDataBlock: {why.Fault} at level {why.Level})";
        findings.Error(CheckCode.DirectoryTable, $"DirectoryTableBase 0x{header.DirectoryTableBase:x} is no page table of the kernel: {reason}" +
            (windows is null ? "" : $"; the System process's is 0x{windows.SystemDirectoryTableBase:x}"));
        return windows?.Kernel;
    }

    /// <summary>One of the header's three places in the kernel is enough: the others may be wrong themselves.</summary>
    private static bool MapsKernel(AddressSpace space, CrashDumpHeader64 header)
    {
        foreach (var address in (ReadOnlySpan<ulong>)[header.PsLoadedModuleList, header.KdDebuggerDataBlock, header.PsActiveProcessHead])
        {
            if (new VirtualAddress(address).IsKernel && space.TryRead(new VirtualAddress(address), out byte _))
                return true;
        }
        return false;
    }
}
