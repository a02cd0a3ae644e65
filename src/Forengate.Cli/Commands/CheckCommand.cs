using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Cli.Output;
using Forengate.Dumps;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary><c>check</c>: judges a dump as a debugger would read it.</summary>
internal static class CheckCommand
{
    public static Command Create(Shared shared)
    {
        var file = new Argument<string>("FILE.dmp") { Description = "The dump to judge" };
        var command = new Command("check", "Judges a dump as a debugger would read it, and says what one would miss");
        command.Arguments.Add(file);
        command.Options.Add(shared.Output);
        shared.AddSymbolsTo(command);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            var report = DumpCheck.Of(result.GetRequiredValue(file), cancellation, shared.TargetOptions(result));
            using (var output = Console.OpenStandardOutput())
            {
                var format = result.GetValue(shared.Output);
                if (format == OutputFormat.Table)
                    WriteText(output, report);
                else if (format == OutputFormat.Json)
                    WriteJson(output, report);
                else
                    new ListingWriter<CheckFinding>(Tables.Findings).Write(output, report.Findings, format);
            }
            return report.Passed ? ExitCode.Done : ExitCode.Incomplete;
        }));
        return command;
    }

    private static void WriteText(Stream output, CheckReport report)
    {
        using var writer = new StreamWriter(output, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine($"{report.Path}: {report.Kind}, {Sizes.Of(report.FileLength)}");
        foreach (var run in report.Runs)
        {
            writer.WriteLine($"  run 0x{run.Start.Value:x}-0x{run.Start.Value + run.Length:x}  at file offset 0x{run.FileOffset:x}  {run.Length >> 12} pages"
                + (run.BytesInFile < run.Length ? $"  only {run.BytesInFile >> 12} in the file" : ""));
        }
        foreach (var processor in report.Processors)
            writer.WriteLine($"  processor {processor.Number}  rip {Hex(processor.Rip)}  rsp {Hex(processor.Rsp)}  cs {Hex(processor.SegCs)}  gdt {Hex(processor.Gdt?.Value)}");
        writer.WriteLine($"  modules {report.Modules?.ToString() ?? "not walked"}, processes {report.Processes?.ToString() ?? "not walked"}");
        foreach (var finding in report.Findings)
            writer.WriteLine($"  {Tables.SeverityName(finding.Severity)}: {TerminalText.MakeSafe(finding.Text)} [{finding.Code}]");
        var errors = report.Findings.Count(finding => finding.Severity == CheckSeverity.Error);
        writer.WriteLine(errors == 0 ? "  a debugger opens this without a complaint" : $"  {errors} fault(s) that a debugger shows or stumbles over");

        static string Hex(ulong? value) => value is { } known ? $"0x{known:x}" : "unknown";
    }

    private static void WriteJson(Stream output, CheckReport report)
    {
        using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        Cell.Text(report.Path).WriteTo(json, "path");
        Cell.Text(report.Kind).WriteTo(json, "kind");
        json.WriteNumber("bytes", report.FileLength);
        json.WriteBoolean("passed", report.Passed);
        Cell.Number(report.Modules).WriteTo(json, "modules");
        Cell.Number(report.Processes).WriteTo(json, "processes");
        json.WriteStartArray("header");
        foreach (var field in report.Fields)
        {
            json.WriteStartObject();
            Cell.Text(field.Name).WriteTo(json, "name");
            Cell.Address((ulong)field.Offset).WriteTo(json, "offset");
            Cell.Text(field.Value).WriteTo(json, "value");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("runs");
        foreach (var run in report.Runs)
        {
            json.WriteStartObject();
            Cell.Address(run.Start.Value).WriteTo(json, "start");
            json.WriteNumber("bytes", run.Length);
            Cell.Address(run.FileOffset).WriteTo(json, "fileOffset");
            json.WriteNumber("bytesInFile", run.BytesInFile);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("processors");
        foreach (var processor in report.Processors)
        {
            json.WriteStartObject();
            json.WriteNumber("number", processor.Number);
            Cell.Address(processor.Kprcb?.Value).WriteTo(json, "kprcb");
            Cell.Address(processor.Context?.Value).WriteTo(json, "context");
            Cell.Address(processor.Rip).WriteTo(json, "rip");
            Cell.Address(processor.Rsp).WriteTo(json, "rsp");
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("findings");
        foreach (var finding in report.Findings)
        {
            json.WriteStartObject();
            foreach (var column in Tables.Findings)
                column.Value(finding).WriteTo(json, column.Field);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }
}
