namespace Forengate.Memory;

/// <summary>What the header of a small dump says of the crash, whatever its width; what was never set in it is null.</summary>
/// <param name="Is64Bit">False for 32-bit Windows.</param>
/// <param name="Build">Build number.</param>
/// <param name="Machine">IMAGE_FILE_MACHINE: 0x14c x86, 0x8664 AMD64, 0xaa64 ARM64.</param>
/// <param name="Processors">Of the machine.</param>
/// <param name="BugCheckCode">The stop code; null where it is 0.</param>
/// <param name="BugCheckParameters">Its four parameters.</param>
/// <param name="Kdbg">Where the kernel's KdDebuggerDataBlock lay.</param>
/// <param name="UpTime">Since boot, in 100 ns.</param>
public sealed record TriageHeader(
    bool Is64Bit, uint Build, uint Machine, uint Processors, uint? BugCheckCode, IReadOnlyList<ulong> BugCheckParameters, VirtualAddress? Kdbg, ulong? UpTime)
{
    internal static TriageHeader Of(CrashDumpImage image)
    {
        if (image.Is64Bit)
        {
            var wide = image.Header64;
            return new TriageHeader(
                true, wide.MinorVersion, wide.MachineImageType, wide.NumberProcessors, Code(wide.BugCheckCode),
                [wide.BugCheckParameter1, wide.BugCheckParameter2, wide.BugCheckParameter3, wide.BugCheckParameter4],
                wide.KdDebuggerDataBlock == CrashDumpHeader64.LongFiller ? null : new VirtualAddress(wide.KdDebuggerDataBlock), Time(wide.SystemUpTime));
        }
        var header = image.Header32;
        return new TriageHeader(
            false, header.MinorVersion, header.MachineImageType, header.NumberProcessors, Code(header.BugCheckCode),
            [header.BugCheckParameter(1), header.BugCheckParameter(2), header.BugCheckParameter(3), header.BugCheckParameter(4)],
            header.KdDebuggerDataBlock == CrashDumpHeader64.Filler ? null : new VirtualAddress(header.KdDebuggerDataBlock), Time(header.SystemUpTime));
    }

    private static uint? Code(uint code) => code is 0 or CrashDumpHeader64.Filler ? null : code;

    private static ulong? Time(ulong time) => time is CrashDumpHeader64.LongFiller or > long.MaxValue ? null : time;
}
