using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Cli.Output;
using Forengate.Guests;

namespace Forengate.Cli.Commands;

/// <summary><c>rescue</c>: sets right a guest that a capture left stuck.</summary>
internal static class RescueCommand
{
    public static Command Create(Shared shared)
    {
        var look = new Option<bool>("--look") { Description = "Only say what is wrong, change nothing" };
        var resume = new Option<bool>("--resume") { Description = "Continue the guest if it stands still, too" };
        var target = new Argument<string>("TARGET") { Description = "libvirt:NAME or qmp:SOCKET" };
        var command = new Command("rescue", "Repairs a guest that a capture, ours or another's, left stuck");
        command.Arguments.Add(target);
        command.Options.Add(look);
        command.Options.Add(resume);
        command.Options.Add(shared.Connect);
        command.Options.Add(shared.Output);
        command.SetAction(result => Run.Guarded(cancellation =>
        {
            if (!GuestTarget.TryParse(result.GetRequiredValue(target), out var guest))
                return Run.Fail($"'{result.GetRequiredValue(target)}' is no live guest: write libvirt:NAME or qmp:SOCKET");
            var report = GuestRepair.Run(
                guest, new RepairOptions { ConnectUri = result.GetValue(shared.Connect), OnlyLook = result.GetValue(look), Resume = result.GetValue(resume) }, cancellation);
            using (var output = Console.OpenStandardOutput())
            {
                if (result.GetValue(shared.Output) is OutputFormat.Json or OutputFormat.Jsonl)
                    WriteJson(output, report, indented: result.GetValue(shared.Output) == OutputFormat.Json);
                else
                    WriteText(output, report);
            }
            return report.IsLeft ? ExitCode.Incomplete : ExitCode.Done;
        }));
        return command;
    }

    private static void WriteText(Stream output, RepairReport report)
    {
        using var writer = new StreamWriter(output, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine($"{TerminalText.MakeSafe(report.Target)} (QEMU process {report.ProcessId}): {(report.Found.Count == 0 ? "nothing is wrong" : "")}".TrimEnd(' ', ':'));
        foreach (var line in report.Found)
            writer.WriteLine($"  found: {TerminalText.MakeSafe(line)}");
        foreach (var line in report.Remarks)
            writer.WriteLine($"  note:  {TerminalText.MakeSafe(line)}");
        foreach (var line in report.Done)
            writer.WriteLine($"  done:  {TerminalText.MakeSafe(line)}");
    }

    private static void WriteJson(Stream output, RepairReport report, bool indented)
    {
        using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = indented, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        Cell.Text(report.Target).WriteTo(json, "target");
        json.WriteNumber("processId", report.ProcessId);
        json.WriteBoolean("busy", report.Busy);
        Write(json, "found", report.Found);
        Write(json, "done", report.Done);
        Write(json, "remarks", report.Remarks);
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }

    private static void Write(Utf8JsonWriter json, string name, IList<string> lines)
    {
        json.WriteStartArray(name);
        foreach (var line in lines)
            json.WriteStringValue(TerminalText.ReplaceLoneSurrogates(line));
        json.WriteEndArray();
    }
}
