using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Dumps;

/// <summary>What checks of processors need of a header, kept beyond the span it is read from.</summary>
internal readonly record struct CrashDumpHeader64Snapshot(uint NumberProcessors, ulong Rip, ulong Rsp)
{
    public static CrashDumpHeader64Snapshot Of(CrashDumpHeader64 header)
    {
        var context = new Amd64ContextView(header.ContextRecord);
        return new CrashDumpHeader64Snapshot(header.NumberProcessors, context.Rip, context.Rsp);
    }
}
