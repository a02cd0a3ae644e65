using System.Buffers.Binary;
using Forengate.Dumps;
using Forengate.Guests;
using Forengate.Memory;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>Makes dumps of live guests into a guard's folder.</summary>
/// <param name="options">Where to, and which kind.</param>
/// <param name="room">How much may be written.</param>
/// <param name="source">Who listens: it lends its monitor where there is but one.</param>
internal sealed class GuestDumper(GuardOptions options, DumpRoom room, IAlarmSource source) : IGuardDumper
{
    /// <summary>From the one that is asked for to smaller ones; at the end what can be made of every system (32-bit Windows has no other).</summary>
    private readonly IReadOnlyList<DumpKind> _kinds =
        [.. new[] { options.Kind, options.Kind == DumpKind.Active ? DumpKind.Bitmap : options.Kind, DumpKind.Kernel, DumpKind.Small, DumpKind.Full }.Distinct()];

    public WrittenDump Write(DumpOrder order, CancellationToken ct)
    {
        var comment = DumpMark.Of(order.Guest, order.Label, order.Why);
        var announced = Announced(order.Alarm.Bugcheck);
        IDisposable? promise = null;
        using var monitor = source.Lend(order.Guest, ct);
        try
        {
            var outcome = DumpJob.Run(
                order.Guest.ToString(), [.. _kinds.Select(kind => new DumpOptions { Kind = kind, Comment = comment, BugCheck = announced })],
                plan =>
                {
                    if ((promise = room.TryTake(plan.FileSize)) is null)
                        return null;
                    return new DumpFileName(order.Label, order.Alarm.At, order.Why, BugcheckOf(plan).StopCode).FreePathIn(options.Folder);
                },
                Path.Combine(options.Folder, "spilled"), options.Target, null, ct);
            var (result, examination) = (outcome.Result, outcome.Examination);
            List<string> gaps = [.. examination.Damage, .. result.Plan.Gaps, .. examination.Inconsistencies];
            if (result.MissingPages > 0)
                gaps.Add($"{result.MissingPages} pages had no bytes");
            return new WrittenDump(
                result.Path, result.Bytes, result.Plan.Kind, result.StoodStill, BugcheckOf(result.Plan), gaps,
                [.. outcome.PassedOver, .. result.Plan.Disagreements, .. examination.Remarks]);
        }
        finally
        {
            promise?.Dispose();
        }
    }

    /// <summary>Code 0 is what a guest tells that knows none.</summary>
    private static AnnouncedBugCheck? Announced(BugcheckReport? report) => report is { StopCode: not 0 }
        ? new AnnouncedBugCheck(new BugCheckData(report.StopCode, report.Parameter1, report.Parameter2, report.Parameter3, report.Parameter4), report.Origin)
        : null;

    /// <summary>The bugcheck as a debugger will read it: from the header's bytes.</summary>
    private static BugcheckReport BugcheckOf(DumpPlan plan)
    {
        var header = plan.Header.Span;
        var source = plan.Fields.FirstOrDefault(field => field.Name == "BugCheckCode")?.Source ?? "the dump's header";
        if (header[..8].SequenceEqual("PAGEDU64"u8))
        {
            ulong Parameter(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(plan.Header.Span[offset..]);
            return new BugcheckReport(
                BinaryPrimitives.ReadUInt32LittleEndian(header[CrashDumpLayout64.BugCheckCode..]), Parameter(CrashDumpLayout64.BugCheckParameter1),
                Parameter(CrashDumpLayout64.BugCheckParameter2), Parameter(CrashDumpLayout64.BugCheckParameter3), Parameter(CrashDumpLayout64.BugCheckParameter4), source);
        }
        ulong Narrow(int index) => BinaryPrimitives.ReadUInt32LittleEndian(plan.Header.Span[(CrashDumpLayout32.BugCheckParameter1 + (index * sizeof(uint)))..]);
        return new BugcheckReport(BinaryPrimitives.ReadUInt32LittleEndian(header[CrashDumpLayout32.BugCheckCode..]), Narrow(0), Narrow(1), Narrow(2), Narrow(3), source);
    }
}
