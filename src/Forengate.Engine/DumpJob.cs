using Forengate.Dumps;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>A target becomes a WinDbg dump, in one call.</summary>
public static class DumpJob
{
    /// <summary>
    /// Opens the target, finds Windows in it and writes a dump. A running guest stands still for the moment of a snapshot, or while its memory is copied; it runs again before the first byte is written.
    /// </summary>
    /// <param name="target">An image file, <c>libvirt:NAME</c> or <c>qmp:SOCKET</c>.</param>
    /// <param name="output">Path of the dump, replaced when the new one is whole; <c>-</c> for standard output.</param>
    /// <param name="targetOptions">What else the user said of the target.</param>
    /// <param name="dumpOptions">What the user said of the dump.</param>
    /// <param name="progress">Told of copying and writing.</param>
    /// <param name="cancellation">Ends the work; nothing half-written is left and a stopped guest is continued.</param>
    /// <exception cref="WindowsNotFoundException">There is no Windows in it that we can read.</exception>
    /// <exception cref="IOException">The target can't be read or the dump can't be written (<see cref="DumpWriteException"/>, <see cref="GuestException"/>).</exception>
    public static DumpOutcome Run(
        string target, string output, TargetOptions targetOptions, DumpOptions dumpOptions, IProgress<JobProgress>? progress,
        CancellationToken cancellation)
    {
        OutputPlace.Refuse(target, output);
        return Run(target, [dumpOptions], _ => output, output, targetOptions, progress, cancellation);
    }

    /// <summary>As above, with the kind and the place decided when it is known what a dump would be.</summary>
    /// <param name="target">A live guest, or an image.</param>
    /// <param name="choices">What to write, in the order of preference: the first that can be made and has a place is written.</param>
    /// <param name="place">The path for a planned dump, or null where there is no room for it.</param>
    /// <param name="near">A path in the folder that memory is spilled to where the host has too little.</param>
    /// <param name="targetOptions">As above.</param>
    /// <param name="progress">As above.</param>
    /// <param name="cancellation">As above.</param>
    /// <exception cref="NoRoomException">There was no place for any of them.</exception>
    internal static DumpOutcome Run(
        string target, IReadOnlyList<DumpOptions> choices, Func<DumpPlan, string?> place, string near, TargetOptions targetOptions, IProgress<JobProgress>? progress,
        CancellationToken cancellation)
    {
        DumpResult result;
        Examination examination;
        var passedOver = new List<string>();
        using (examination = Examination.OpenWhole(target, targetOptions, progress, cancellation, near))
        {
            var (plan, output) = Choose(examination, choices, place, passedOver, cancellation);
            var writing = progress is null
                ? null
                : new SynchronousProgress<DumpProgress>(value => progress.Report(new JobProgress("writing", value.BytesDone, value.BytesTotal)));
            result = DumpWriter.Write(plan, output, writing, cancellation);
            DropIfVanished(examination, output);
        }
        // Only now is it known how long a guest that was held for its view stood still.
        return new DumpOutcome(result with { StoodStill = examination.View.Origin.StoodStill }, examination) { PassedOver = passedOver };
    }

    private static (DumpPlan, string) Choose(
        Examination examination, IReadOnlyList<DumpOptions> choices, Func<DumpPlan, string?> place, List<string> passedOver, CancellationToken cancellation)
    {
        DumpWriteException? impossible = null;
        var wantsRoom = false;
        foreach (var choice in choices)
        {
            try
            {
                var plan = Plan(examination, choice, cancellation);
                if (place(plan) is { } output)
                    return (plan, output);
                wantsRoom = true;
                passedOver.Add($"no {choice.Kind.ToString().ToLowerInvariant()} dump: there is no room for its {plan.FileSize >> 20} MiB");
            }
            catch (DumpWriteException e)
            {
                impossible ??= e;
                passedOver.Add(e.Message);
            }
        }
        throw impossible is not null && !wantsRoom ? impossible : new NoRoomException(string.Join("; ", passedOver));
    }

    private static DumpPlan Plan(Examination examination, DumpOptions options, CancellationToken cancellation) =>
        examination.Windows is { System: { } system } ? DumpPlan.For(system, options, cancellation)
            : examination.Windows.X86 is { } x86 ? X86DumpPlan.For(x86, options)
            : throw new WindowsNotFoundException(examination.Windows.Reason ?? "no Windows found in this memory");

    /// <summary>A guest that was read in place and ended meanwhile gave a dump with holes: worse than none.</summary>
    private static void DropIfVanished(Examination examination, string output)
    {
        try
        {
            examination.ThrowIfVanished();
        }
        catch (GuestException) when (output != DumpWriter.StandardOutput)
        {
            File.Delete(output);
            throw;
        }
    }
}

/// <summary>What a dump job did.</summary>
/// <param name="Result">What was written.</param>
/// <param name="Examination">The target as it was opened; its view is closed, its facts stay.</param>
public sealed record DumpOutcome(DumpResult Result, Examination Examination)
{
    /// <summary>Why kinds that were asked for before the one that was written were not: a line each.</summary>
    public IReadOnlyList<string> PassedOver { get; init; } = [];
}
