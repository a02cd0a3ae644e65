using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>A small dump: its own end mark, its offsets, its KDBG, its drivers and pieces of memory.</summary>
internal static class TriageCheck
{
    public static int? Run(CrashDumpImage image, CheckFindings findings)
    {
        // Not disposed: the image is the caller's.
        var dump = TriageDump.Over(image);
        foreach (var problem in dump.Problems)
        {
            findings.Error(
                problem.Fault switch
                {
                    TriageFault.Cut or TriageFault.Blocks => CheckCode.Truncated,
                    TriageFault.Drivers => CheckCode.Modules,
                    _ => CheckCode.Triage,
                },
                problem.Text);
        }
        var file = image.Bytes(0, int.MaxValue);
        if (file.Length < dump.Layout.Start + dump.Layout.Size)
            return null;
        var triage = new TriageDirectory(file, dump.Layout);
        Within(file, "ContextOffset", triage.ContextOffset, findings);
        Within(file, "ExceptionOffset", triage.ExceptionOffset, findings);
        Within(file, "PrcbOffset", triage.PrcbOffset, findings);
        Within(file, "CallStackOffset", triage.CallStackOffset, findings);
        var kdbg = dump.KdbgBytes;
        if (triage.DebuggerDataOffset != 0 && (kdbg.Length < (int)DebuggerDataField.Size || BinaryPrimitives.ReadUInt32LittleEndian(kdbg[(int)DebuggerDataField.OwnerTag..]) != DebuggerData.Tag))
            findings.Error(CheckCode.DebuggerData, $"at 0x{triage.DebuggerDataOffset:x}, where the dump says KDBG is, lies none");
        return dump.Drivers.Count;
    }

    private static void Within(ReadOnlySpan<byte> file, string name, uint offset, CheckFindings findings)
    {
        if (offset >= file.Length)
            findings.Error(CheckCode.Truncated, $"{name} 0x{offset:x} lies beyond the file");
    }
}
