using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>A small dump: its own end mark, its offsets, its KDBG, its driver list.</summary>
internal static class TriageCheck
{
    private const int MaxDrivers = 16_384;
    private const uint KdbgTag = 0x4742444B;

    public static int? Run(CrashDumpImage image, CheckFindings findings)
    {
        var file = image.Bytes(0, int.MaxValue);
        if (file.Length < TriageDump64.Start + TriageDump64.Size)
        {
            findings.Error(CheckCode.Truncated, $"the file ends before its small dump's directory ({file.Length} bytes)");
            return null;
        }
        var triage = new TriageDump64(file[TriageDump64.Start..]);
        if (triage.SizeOfDump > file.Length)
            findings.Error(CheckCode.Truncated, $"the small dump has {triage.SizeOfDump} bytes, the file only {file.Length}: it was cut off");
        if (Dword(file, triage.ValidOffset) != TriageDump64.ValidMark)
            findings.Error(CheckCode.Triage, $"the end mark TRGD at 0x{triage.ValidOffset:x} is missing: the dump was not written to its end");
        Within(file, "ContextOffset", triage.ContextOffset, findings);
        Within(file, "ExceptionOffset", triage.ExceptionOffset, findings);
        Within(file, "PrcbOffset", triage.PrcbOffset, findings);
        Within(file, "CallStackOffset", triage.CallStackOffset, findings);
        if (triage.DebuggerDataOffset != 0 && Dword(file, (ulong)triage.DebuggerDataOffset + 0x10) != KdbgTag)
            findings.Error(CheckCode.DebuggerData, $"at 0x{triage.DebuggerDataOffset:x}, where the dump says KDBG is, lies none");

        var count = (int)Math.Min(triage.DriverCount, MaxDrivers);
        for (var i = 0; i < count; i++)
        {
            if (triage.TryReadDriver(file, i, out _))
                continue;
            findings.Error(CheckCode.Modules, $"driver {i + 1} of {triage.DriverCount} or its name lies beyond the file");
            return i;
        }
        return count;
    }

    private static void Within(ReadOnlySpan<byte> file, string name, uint offset, CheckFindings findings)
    {
        if (offset >= file.Length)
            findings.Error(CheckCode.Truncated, $"{name} 0x{offset:x} lies beyond the file");
    }

    private static uint? Dword(ReadOnlySpan<byte> file, ulong offset) =>
        offset + sizeof(uint) <= (ulong)file.Length ? BinaryPrimitives.ReadUInt32LittleEndian(file[(int)offset..]) : null;
}
