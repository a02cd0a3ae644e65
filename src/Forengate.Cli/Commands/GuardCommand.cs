using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary><c>guard</c>: waits for crashes and hangs, and dumps.</summary>
internal static class GuardCommand
{
    public static Command Create(Shared shared)
    {
        var settings = new GuardSettings();
        var command = new Command("guard", "Waits for crashes and hangs of guests, and writes a dump of each before the guest is ended or restarted");
        settings.AddTo(command);
        command.Options.Add(shared.Connect);
        shared.AddSymbolsTo(command);
        command.Options.Add(shared.Consistency);
        command.Options.Add(shared.MaxPause);
        command.Options.Add(shared.Output);
        command.Validators.Add(result =>
        {
            if (result.GetValue(shared.Output) is OutputFormat.Json or OutputFormat.Csv)
                result.AddError("--output: a guard writes its journal line by line: say table or jsonl");
        });
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            var options = settings.Options(result, shared.TargetOptions(result));
            using var journal = new GuardText(Console.OpenStandardOutput(), result.GetValue(shared.Output) == OutputFormat.Jsonl);
            if (settings.OnlyPlan(result))
            {
                var lines = Guard.Plan(options, cancellation);
                foreach (var line in lines)
                    journal.Write(line);
                return lines.All(line => line.Complete == true) ? ExitCode.Done : ExitCode.Incomplete;
            }
            using var signals = new StopSignals();
            var summary = Guard.Run(options, journal.Write, signals.Stop, signals.Abort);
            if (summary.IsLost)
                return Run.Fail("the way to the guests was lost and not found again; the journal says why");
            if (options.Once && summary.Dumped == 0 && summary.Failed + summary.Declined > 0)
                return ExitCode.Failed;
            return summary is { Failed: 0, Declined: 0, Incomplete: 0, Suppressed: 0 } ? ExitCode.Done : ExitCode.Incomplete;
        }));
        return command;
    }
}
