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
        DumpResult result;
        Examination examination;
        using (examination = Examination.OpenWhole(target, targetOptions, progress, cancellation, output))
        {
            var plan = examination.Windows is { System: { } system } ? DumpPlan.For(system, dumpOptions, cancellation)
                : examination.Windows.X86 is { } x86 ? X86DumpPlan.For(x86, dumpOptions)
                : throw new WindowsNotFoundException(examination.Windows.Reason ?? "no Windows found in this memory");
            var writing = progress is null
                ? null
                : new SynchronousProgress<DumpProgress>(value => progress.Report(new JobProgress("writing", value.BytesDone, value.BytesTotal)));
            result = DumpWriter.Write(plan, output, writing, cancellation);
            DropIfVanished(examination, output);
        }
        // Only now is it known how long a guest that was held for its view stood still.
        return new DumpOutcome(result with { StoodStill = examination.View.Origin.StoodStill }, examination);
    }

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
public sealed record DumpOutcome(DumpResult Result, Examination Examination);
