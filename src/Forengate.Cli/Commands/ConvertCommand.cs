using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary><c>convert</c>: any target to any format that we write.</summary>
internal static class ConvertCommand
{
    public static Command Create(Shared shared)
    {
        var file = new Argument<string>("OUT") { Description = "The file to write; - for standard output" };
        var format = new Option<string?>("--format")
        {
            Description = $"Write this format instead of the one that OUT's ending stands for: {Names()}",
            HelpName = "FORMAT",
        };
        var command = new Command("convert", "Writes a target's memory and registers in another format");
        shared.AddTargetTo(command);
        command.Arguments.Add(file);
        command.Options.Add(format);
        command.Options.Add(shared.MaxPause);
        command.Options.Add(shared.Spill);
        command.Options.Add(shared.Output);
        command.Validators.Add(result =>
        {
            if (WhyNoFormat(result.GetValue(format), result.GetValue(file) ?? "") is { } reason)
                result.AddError(reason);
        });
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            var output = result.GetRequiredValue(file);
            var asked = (result.GetValue(format) is { } name ? ConvertFormat.ByName(name) : ConvertFormat.ByExtension(output))!;
            using var progress = new ProgressLine();
            var outcome = ConvertJob.Run(result.GetRequiredValue(shared.Target), output, asked, shared.TargetOptions(result), progress.AsProgress(), cancellation);
            progress.Clear();
            // The image itself may be on standard output: then the summary is not.
            using (var summary = outcome.Path == "-" ? Console.OpenStandardError() : Console.OpenStandardOutput())
            {
                if (result.GetValue(shared.Output) is OutputFormat.Json or OutputFormat.Jsonl)
                    WriteJson(summary, outcome, indented: result.GetValue(shared.Output) == OutputFormat.Json);
                else
                    WriteText(summary, outcome);
            }
            Run.Say(outcome.Source.Remarks.Except(outcome.Incomplete));
            if (outcome.Source.Smear is { } smear)
                Run.Say([$"the image is smeared ({outcome.Consistency.Reason}): {smear}"]);
            return Run.Incomplete(outcome.Incomplete);
        }));
        return command;
    }

    private static string? WhyNoFormat(string? format, string output)
    {
        if (format is not null)
            return ConvertFormat.ByName(format) is null ? $"--format does not take '{format}': say one of {Names()}" : null;
        return ConvertFormat.ByExtension(output) is null ? $"'{output}' does not end like a format that we write: say --format, one of {Names()}" : null;
    }

    private static string Names() => string.Join(", ", ConvertFormat.All.Select(format => format.Name));

    private static void WriteText(Stream output, ConvertOutcome outcome)
    {
        using var writer = new StreamWriter(output, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine($"{outcome.Path}: {outcome.Format}, from {TerminalText.MakeSafe(outcome.Source.Format)}");
        writer.WriteLine($"  {Sizes.Of(outcome.Bytes)}, {outcome.Pages} pages of which {outcome.ZeroPages} are zero, "
            + $"in {Sizes.Of(outcome.Duration)} ({Sizes.Of((ulong)(outcome.Bytes / Math.Max(outcome.Duration.TotalSeconds, 1e-6)))}/s)");
        writer.WriteLine(outcome.Source.StoodStill is { } pause ? $"  the guest stood still for {Sizes.Of(pause)}" : $"  consistency: {TerminalText.MakeSafe(outcome.Consistency.Reason)}");
        foreach (var lost in outcome.Lost)
            writer.WriteLine($"  not in it: {TerminalText.MakeSafe(lost)}");
    }

    private static void WriteJson(Stream output, ConvertOutcome outcome, bool indented)
    {
        using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = indented, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        Cell.Text(outcome.Path).WriteTo(json, "path");
        Cell.Text(outcome.Format).WriteTo(json, "format");
        Cell.Text(outcome.Source.Target).WriteTo(json, "source");
        Cell.Text(outcome.Source.Format).WriteTo(json, "sourceFormat");
        json.WriteNumber("bytes", outcome.Bytes);
        json.WriteNumber("pages", outcome.Pages);
        json.WriteNumber("zeroPages", outcome.ZeroPages);
        json.WriteStartArray("missing");
        foreach (var range in outcome.Missing)
        {
            json.WriteStartObject();
            Cell.Address(range.Start.Value).WriteTo(json, "start");
            Cell.Address(range.End.Value).WriteTo(json, "end");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        JsonLines.Write(json, "lost", outcome.Lost);
        JsonLines.Write(json, "incomplete", outcome.Incomplete);
        json.WriteNumber("seconds", outcome.Duration.TotalSeconds);
        if (outcome.Source.StoodStill is { } pause)
            json.WriteNumber("stoodStillMilliseconds", pause.TotalMilliseconds);
        else
            json.WriteNull("stoodStillMilliseconds");
        Cell.Text(ViewFacts.ConsistencyName(outcome.Consistency.Level)).WriteTo(json, "consistency");
        ViewJson.WriteSmear(json, outcome.Source.Smear);
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }
}
