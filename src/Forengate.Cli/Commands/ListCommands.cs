using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;
using Forengate.Windows;

namespace Forengate.Cli.Commands;

/// <summary><c>processes</c> and <c>drivers</c>: one entity each, by Windows' own list or by pattern.</summary>
internal static class ListCommands
{
    public static Command Processes(Shared shared)
    {
        var pid = new Option<ulong?>("--pid") { Description = "Only the process with this PID", HelpName = "N" };
        return List(
            shared, "processes", "Lists processes: PID, parent, name, times, threads, session, DTB, command line",
            Tables.Processes, [pid],
            (examination, result, scan, progress, cancellation) =>
            {
                var listing = examination.Processes(scan, progress, cancellation);
                return result.GetValue(pid) is not { } wanted
                    ? listing
                    : listing with { Items = [.. listing.Items.Where(process => process.Id == wanted)] };
            });
    }

    public static Command Drivers(Shared shared) => List(
        shared, "drivers", "Lists kernel modules: base, size, name, symbols, path", Tables.Drivers, [],
        (examination, _, scan, progress, cancellation) => examination.Drivers(scan, progress, cancellation));

    private static Command List<T>(
        Shared shared, string name, string description, IReadOnlyList<Column<T>> columns, IReadOnlyList<Option> options,
        Func<Examination, ParseResult, bool, IProgress<JobProgress>, CancellationToken, Listing<T>> list)
    {
        var scan = new Option<bool>("--scan") { Description = "Find by pattern in all memory instead of by list: shows what the list hides, and what has ended" };
        var command = new Command(name, description);
        shared.AddTargetTo(command);
        command.Options.Add(scan);
        command.Options.Add(shared.Output);
        foreach (var option in options)
            command.Options.Add(option);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            using var progress = new ProgressLine();
            var (target, options, byScan) = (result.GetRequiredValue(shared.Target), shared.TargetOptions(result), result.GetValue(scan));
            Listing<T> listing;
            Examination examination;
            // A scan reads all memory: a guest stands still shorter when it is copied first.
            using (examination = byScan
                ? Examination.OpenWhole(target, options, progress.AsProgress(), cancellation)
                : Examination.Open(target, options, progress.AsProgress(), cancellation))
            {
                if (!examination.CanList)
                {
                    Run.Say(examination.Damage);
                    return Run.Fail(examination.Windows.Reason ?? "no Windows found in this memory");
                }
                listing = list(examination, result, byScan, progress.AsProgress(), cancellation);
                examination.ThrowIfVanished();
            }
            progress.Clear();
            using (var output = Console.OpenStandardOutput())
                new ListingWriter<T>(columns).Write(output, listing.Items, result.GetValue(shared.Output));
            Run.Say(examination.Remarks);
            return Run.Incomplete([.. examination.Damage, .. listing.Warnings, .. examination.Inconsistencies]);
        }));
        return command;
    }
}
