using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Guests;

namespace Forengate.Cli.Output;

/// <summary>Prints the plan of a capture.</summary>
internal static class PlanText
{
    public static void Write(Stream output, CapturePlan plan, OutputFormat format)
    {
        if (format is OutputFormat.Json or OutputFormat.Jsonl)
            WriteJson(output, plan, indented: format == OutputFormat.Json);
        else
            WriteText(output, plan);
    }

    private static void WriteText(Stream output, CapturePlan plan)
    {
        using var writer = new StreamWriter(output, leaveOpen: true) { NewLine = "\n" };
        writer.WriteLine($"{TerminalText.MakeSafe(plan.Target)}: {NameOf(plan.Mode)}: {TerminalText.MakeSafe(plan.Reason)}");
        foreach (var way in plan.Ways)
        {
            writer.WriteLine(way.Obstacle is { } obstacle
                ? $"  {way.Name,-8}  not possible: {TerminalText.MakeSafe(obstacle)}"
                : $"  {way.Name,-8}  possible: {Cost(way)}");
        }
        foreach (var fact in plan.Facts)
            writer.WriteLine($"  {TerminalText.MakeSafe(fact)}");
        writer.WriteLine("  nothing was changed");
    }

    private static string Cost(PlannedWay way) => way.HostMemory == 0
        ? "no pause, no memory; what is read is smeared"
        : $"stands still for about {Sizes.Of(way.Pause ?? default)}, needs {Sizes.Of(way.HostMemory)} of host memory"
            + (way.Spilled == 0 ? "" : $", {Sizes.Of(way.Spilled)} of it spilled to {TerminalText.MakeSafe(way.SpillFolder ?? "")}");

    /// <summary>What is done, in a word or two.</summary>
    public static string NameOf(CaptureMode? mode) => mode switch
    {
        CaptureMode.Snapshot => "background snapshot",
        CaptureMode.StopAndCopy => "stop and copy",
        CaptureMode.HoldStopped => "read in place",
        CaptureMode.Live => "live",
        CaptureMode.LibvirtDump => "libvirt's own dump",
        CaptureMode.LibvirtPeek => "libvirt's memory peek",
        _ => "not possible",
    };

    private static void WriteJson(Stream output, CapturePlan plan, bool indented)
    {
        using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = indented, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        Cell.Text(plan.Target).WriteTo(json, "target");
        Cell.Text(plan.Mode is null ? null : NameOf(plan.Mode)).WriteTo(json, "method");
        Cell.Text(plan.Reason).WriteTo(json, "reason");
        json.WriteStartArray("ways");
        foreach (var way in plan.Ways)
        {
            json.WriteStartObject();
            Cell.Text(way.Name).WriteTo(json, "consistency");
            json.WriteBoolean("possible", way.Obstacle is null);
            Cell.Text(way.Obstacle).WriteTo(json, "obstacle");
            if (way.Pause is { } pause)
                json.WriteNumber("expectedPauseMilliseconds", pause.TotalMilliseconds);
            else
                json.WriteNull("expectedPauseMilliseconds");
            json.WriteNumber("hostMemory", way.HostMemory);
            json.WriteNumber("spilled", way.Spilled);
            Cell.Text(way.SpillFolder).WriteTo(json, "spillFolder");
            json.WriteNumber("spillBytesPerSecond", Math.Round(way.SpillSpeed));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        JsonLines.Write(json, "facts", plan.Facts);
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }
}
