using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Cli.Output;
using Forengate.Dumps;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary><c>dump</c>: writes a dump that WinDbg opens.</summary>
internal static class DumpCommand
{
    public static Command Create(Shared shared)
    {
        var file = new Argument<string>("OUT.dmp") { Description = "The dump to write; - for standard output" };
        var plan = new Option<bool>("--plan") { Description = "Only say how a live guest's memory would be taken, and why; OUT.dmp may be left out" };
        file.Arity = ArgumentArity.ZeroOrOne;
        var comment = new Option<string?>("--comment") { Description = "The dump's comment (127 ASCII characters)", HelpName = "TEXT" };
        var kind = Shared.Choice<DumpKind>(
            "--type", "full: every page, zeros where there is none; bitmap: only the pages that there are, the honest form for damaged images; "
            + "active: bitmap without the pages that Windows has as zeroed, free or standby; kernel: no user pages; small: the processor that matters, its process, thread and stack, the drivers");
        var exclude = new Option<string?>("--exclude")
        {
            Description = "Overwrite the pages that only these processes have, by file name or PID; the dump's comment says so",
            HelpName = "NAME|PID[,…]",
        };
        var command = new Command("dump", "Writes a dump that WinDbg opens");
        shared.AddTargetTo(command);
        command.Arguments.Add(file);
        command.Options.Add(shared.MaxPause);
        command.Options.Add(shared.Spill);
        command.Options.Add(plan);
        command.Validators.Add(result =>
        {
            if (!result.GetValue(plan) && result.GetResult(file) is not { Tokens.Count: 1 })
                result.AddError("Required argument missing: OUT.dmp, the dump to write.");
        });
        command.Options.Add(kind);
        command.Options.Add(exclude);
        command.Options.Add(comment);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            if (result.GetValue(plan))
            {
                var planned = CapturePlans.Of(result.GetRequiredValue(shared.Target), shared.TargetOptions(result), cancellation, result.GetValue(file));
                using var output = Console.OpenStandardOutput();
                PlanText.Write(output, planned, result.GetValue(shared.Output));
                return planned.Mode is null ? ExitCode.Failed : ExitCode.Done;
            }
            using var progress = new ProgressLine();
            var outcome = DumpJob.Run(
                result.GetRequiredValue(shared.Target), result.GetRequiredValue(file), shared.TargetOptions(result),
                new DumpOptions { Kind = result.GetValue(kind), Comment = result.GetValue(comment), Exclude = Names(result.GetValue(exclude)) }, progress.AsProgress(), cancellation);
            progress.Clear();
            // The dump itself may be on standard output: then the summary is not.
            using (var output = outcome.Result.Path == DumpWriter.StandardOutput ? Console.OpenStandardError() : Console.OpenStandardOutput())
            {
                if (result.GetValue(shared.Output) is OutputFormat.Json or OutputFormat.Jsonl)
                    WriteJson(output, outcome, indented: result.GetValue(shared.Output) == OutputFormat.Json);
                else
                    WriteText(output, outcome);
            }
            Run.Say(outcome.Examination.Remarks);
            Run.Say(outcome.Result.Plan.Disagreements);
            return Run.Incomplete(Missing(outcome));
        }));
        return command;
    }

    private static string[] Names(string? list) => list?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [];

    private static List<string> Missing(DumpOutcome outcome)
    {
        var missing = new List<string>([.. outcome.Examination.Damage, .. outcome.Result.Plan.Gaps, .. outcome.Examination.Inconsistencies]);
        if (outcome.Result.MissingPages > 0)
        {
            var what = outcome.Result.Plan.Kind == DumpKind.Full ? "zeros in" : "left out of";
            missing.Add($"{outcome.Result.MissingPages} pages had no bytes and are {what} the dump: "
                + string.Join(", ", outcome.Result.MissingRanges.Take(8)) + (outcome.Result.MissingRanges.Count > 8 ? ", …" : ""));
        }
        return missing;
    }

    private static void WriteText(Stream output, DumpOutcome outcome)
    {
        var (result, windows) = (outcome.Result, outcome.Examination.Windows);
        var version = windows.System?.Version ?? windows.X86!.Version;
        using var writer = new StreamWriter(output, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine($"{result.Path}: Windows {version} {TerminalText.MakeSafe(version.BuildLab ?? "")}".TrimEnd());
        if (result.Plan.Kind == DumpKind.Small)
        {
            writer.WriteLine($"  {Sizes.Of(result.Bytes)}: a small dump has no memory but what it picks");
        }
        else
        {
            writer.WriteLine($"  {Sizes.Of(result.Bytes)} in {result.Plan.Runs.Count} runs, {result.Pages} pages of which {result.ZeroPages} are zero, "
                + $"in {Sizes.Of(result.Duration)} ({Sizes.Of((ulong)(result.Bytes / Math.Max(result.Duration.TotalSeconds, 1e-6)))}/s)");
        }
        if (result.Plan.LeftOut.Count > 0)
            writer.WriteLine($"  left out: {string.Join(", ", result.Plan.LeftOut.Select(left => $"{left.Pages} {left.What} pages"))} ({Sizes.Of(result.Plan.LeftOutBytes)})");
        if (result.Plan.Excluded.Count > 0)
            writer.WriteLine($"  excluded: {result.Plan.ExcludedPages} pages of {TerminalText.MakeSafe(string.Join(", ", result.Plan.Excluded))} are overwritten");
        writer.WriteLine(result.StoodStill is { } pause ? $"  the guest stood still for {Sizes.Of(pause)}" : $"  consistency: {outcome.Examination.View.Consistency.Reason}");
        var matched = result.Plan.Processors.Count(processor => processor.CpuIndex is not null);
        writer.WriteLine($"  {result.Plan.Processors.Count} processors, {matched} with their registers");
        var unknown = result.Plan.Fields.Where(field => field.Value is null).Select(field => field.Name).ToArray();
        if (unknown.Length > 0)
            writer.WriteLine($"  header fields left as filler, their truth unknown: {string.Join(", ", unknown)}");
    }

    private static void WriteJson(Stream output, DumpOutcome outcome, bool indented)
    {
        var result = outcome.Result;
        using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = indented, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        Cell.Text(result.Path).WriteTo(json, "path");
        json.WriteString("type", result.Plan.Kind.ToString().ToLowerInvariant());
        json.WriteNumber("bytes", result.Bytes);
        json.WriteNumber("pages", result.Pages);
        json.WriteNumber("zeroPages", result.ZeroPages);
        json.WriteNumber("missingPages", result.MissingPages);
        json.WriteStartObject("leftOutPages");
        foreach (var left in result.Plan.LeftOut)
            json.WriteNumber(left.What, left.Pages);
        json.WriteEndObject();
        json.WriteStartArray("excluded");
        foreach (var process in result.Plan.Excluded)
        {
            json.WriteStartObject();
            json.WriteNumber("pid", process.Id);
            Cell.Text(process.Name).WriteTo(json, "name");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNumber("excludedPages", result.Plan.ExcludedPages);
        json.WriteNumber("seconds", result.Duration.TotalSeconds);
        if (result.StoodStill is { } pause)
            json.WriteNumber("stoodStillMilliseconds", pause.TotalMilliseconds);
        else
            json.WriteNull("stoodStillMilliseconds");
        Cell.Text(ViewFacts.ConsistencyName(outcome.Examination.View.Consistency.Level)).WriteTo(json, "consistency");
        ViewJson.WriteSmear(json, outcome.Examination.Smear);
        json.WriteStartArray("runs");
        foreach (var run in result.Plan.Runs)
        {
            json.WriteStartObject();
            Cell.Address(run.BasePage << 12).WriteTo(json, "start");
            json.WriteNumber("pages", run.PageCount);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("header");
        foreach (var field in result.Plan.Fields)
        {
            json.WriteStartObject();
            Cell.Text(field.Name).WriteTo(json, "name");
            Cell.Address((ulong)field.Offset).WriteTo(json, "offset");
            Cell.Text(field.Value).WriteTo(json, "value");
            Cell.Text(field.Source).WriteTo(json, "source");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("processors");
        foreach (var processor in result.Plan.Processors)
        {
            json.WriteStartObject();
            json.WriteNumber("number", processor.Number);
            Cell.Number(processor.CpuIndex).WriteTo(json, "cpu");
            Cell.Text(processor.MatchedBy).WriteTo(json, "matchedBy");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        JsonLines.Write(json, "damage", outcome.Examination.Damage);
        JsonLines.Write(json, "disagreements", result.Plan.Disagreements);
        JsonLines.Write(json, "gaps", result.Plan.Gaps);
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }
}
