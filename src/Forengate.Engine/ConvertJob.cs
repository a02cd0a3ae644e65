using System.Diagnostics;
using Forengate.Dumps;
using Forengate.Guests;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>A target becomes an image or a dump of another format, in one call.</summary>
public static class ConvertJob
{
    private const int RangesNamed = 8;

    /// <summary>
    /// Opens the target and writes it. A running guest stands still only while its memory is copied; it runs again before the first byte is written.
    /// </summary>
    /// <param name="target">An image file, <c>libvirt:NAME</c> or <c>qmp:SOCKET</c>.</param>
    /// <param name="output">Path of the output, replaced when the new one is whole; <c>-</c> for standard output.</param>
    /// <param name="format">One of <see cref="ConvertFormat.All"/>.</param>
    /// <param name="options">What else the user said of the target.</param>
    /// <param name="progress">Told of opening, copying and writing.</param>
    /// <param name="cancellation">Ends the work; nothing half-written is left and a stopped guest is continued.</param>
    /// <exception cref="WindowsNotFoundException">A dump was asked for and there is no Windows in it that we can read.</exception>
    /// <exception cref="IOException">The target can't be read or the output can't be written.</exception>
    public static ConvertOutcome Run(
        string target, string output, ConvertFormat format, TargetOptions options, IProgress<JobProgress>? progress, CancellationToken cancellation)
    {
        if (format.Dump is { } dump)
            return OfDump(DumpJob.Run(target, output, options, dump, progress, cancellation), format);
        OutputPlace.Refuse(target, output);
        var clock = Stopwatch.StartNew();
        MemorySurvey survey;
        ImageWriteResult result;
        var view = Examination.OpenView(target, options, CaptureMode.Auto, progress, cancellation, output);
        using (view)
        {
            if (view.Memory.Ranges.Count == 0)
                throw new ImageFormatException($"'{target}' holds no memory that could be converted");
            survey = MemorySurvey.Of(view.Memory, cancellation);
            result = Write(WithSavedRegisters(view, options, cancellation), output, format.Writer!, progress, cancellation);
        }
        return new ConvertOutcome
        {
            Path = output,
            Format = format.Name,
            Source = view.Origin,
            Consistency = view.Consistency,
            Bytes = result.Bytes,
            Pages = result.Pages,
            ZeroPages = result.ZeroPages,
            Missing = result.Missing,
            Lost = result.Lost,
            Incomplete = [.. view.Origin.Damage, .. Unread(survey, result), .. Examination.InconsistenciesOf(view.Origin)],
            Duration = clock.Elapsed,
        };
    }

    /// <summary>
    /// A crash dump keeps its registers in its memory: for another format they are read out of it. The view that is returned shares the memory of the one given, and is not disposed.
    /// </summary>
    private static View WithSavedRegisters(View view, TargetOptions options, CancellationToken cancellation)
    {
        if (view.Cpus.Count != 0 || !view.Origin.KeepsRegistersInMemory)
            return view;
        using var profiles = KnownProfiles.Of(options, cancellation);
        var found = WindowsSystem.Find(view, profiles.Store, cancellation);
        var saved = found.System is { } system ? Examination.SavedCpus(system) : found.X86 is { } x86 ? X86SavedRegisters.Of(x86) : [];
        return saved is { Count: > 0 } cpus ? new View(view.Memory, cpus, view.Consistency, view.Origin) : view;
    }

    private static ImageWriteResult Write(View view, string output, IImageWriter writer, IProgress<JobProgress>? progress, CancellationToken cancellation)
    {
        var (done, total) = (0UL, view.Memory.Size);
        var writing = new SynchronousProgress<ImageWriteProgress>(value =>
        {
            done = value.Done;
            progress?.Report(new JobProgress("writing", value.Done, value.Total));
        });
        try
        {
            using var place = ImageOutput.Open(output);
            var result = writer.Write(view, place.Stream, ImageWriteOptions.Default, writing, cancellation);
            // A guest that was read in place and ended meanwhile gave an image with holes: worse than none.
            if (LiveMemory.Behind(view.Memory)?.Failure is { } vanished)
                throw vanished;
            place.Finish();
            return result;
        }
        catch (Exception e) when (e is IOException and not (ImageFormatException or GuestException) or UnauthorizedAccessException)
        {
            throw new IOException(WriteFailure.Explain(e, output, done, total), e);
        }
    }

    /// <summary>Pages that should be there and are not; those that the guest gave back or that were left out on purpose are no loss.</summary>
    private static IEnumerable<string> Unread(MemorySurvey survey, ImageWriteResult result)
    {
        var named = result.Missing.Aggregate(0UL, (sum, range) => sum + range.Length);
        var failed = named > survey.Size - survey.Readable ? named - (survey.Size - survey.Readable) : 0;
        var unread = survey.Missing + failed;
        if (unread == 0)
            yield break;
        var ranges = failed != 0 ? result.Missing : [.. survey.Unreadable.Where(run => run.State == PageState.Missing).Take(RangesNamed + 1).Select(run => run.Range)];
        yield return $"{unread >> Page.Shift} pages had no bytes: " + string.Join(", ", ranges.Take(RangesNamed)) + (ranges.Count > RangesNamed ? ", …" : "");
    }

    private static ConvertOutcome OfDump(DumpOutcome dump, ConvertFormat format)
    {
        var (result, view) = (dump.Result, dump.Examination.View);
        var incomplete = new List<string>([.. view.Origin.Damage, .. result.Plan.Gaps, .. dump.Examination.Inconsistencies]);
        if (result.MissingPages != 0)
        {
            incomplete.Add($"{result.MissingPages} pages had no bytes and are {(result.Plan.Kind == DumpKind.Full ? "zeros in" : "left out of")} the dump: "
                + string.Join(", ", result.MissingRanges.Take(RangesNamed)) + (result.MissingRanges.Count > RangesNamed ? ", …" : ""));
        }
        return new ConvertOutcome
        {
            Path = result.Path,
            Format = format.Name,
            Source = view.Origin,
            Consistency = view.Consistency,
            Bytes = result.Bytes,
            Pages = result.Pages,
            ZeroPages = result.ZeroPages,
            Missing = result.MissingRanges,
            Lost = result.Plan.LeftOut.Count == 0 ? [] : [$"{string.Join(", ", result.Plan.LeftOut.Select(left => $"{left.Pages} {left.What} pages"))}, which dumps of this kind leave out"],
            Incomplete = incomplete,
            Duration = result.Duration,
        };
    }
}
