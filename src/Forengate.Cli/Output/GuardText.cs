using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Forengate.Engine;

namespace Forengate.Cli.Output;

/// <summary>Prints a guard's journal as it happens: a line for people, or a JSON object a line. Field names in JSON are promises.</summary>
internal sealed class GuardText(Stream output, bool jsonLines) : IDisposable
{
    private bool _lost;

    /// <summary>Never throws: a guard whose reader went away guards on.</summary>
    public void Write(GuardEvent line)
    {
        if (_lost)
            return;
        try
        {
            if (jsonLines)
                WriteJson(line);
            else
                output.Write(Encoding.UTF8.GetBytes(ForPeople(line)));
            output.Flush();
        }
        catch (IOException e)
        {
            _lost = true;
            Console.Error.WriteLine($"forengate: the journal can't be written any more ({e.Message}); guarding goes on");
        }
    }

    public void Dispose() => output.Dispose();

    internal static string ForPeople(GuardEvent line)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{line.At.UtcDateTime:yyyy-MM-dd HH:mm:ss}Z  {NameOf(line.Kind),-10}  ");
        if (line.Guest is { } guest)
            text.Append(TerminalText.MakeSafe(guest)).Append(": ");
        text.Append(TerminalText.MakeSafe(line.Text)).Append('\n');
        foreach (var detail in Details(line).Concat(line.Lines))
            text.Append("    ").Append(TerminalText.MakeSafe(detail)).Append('\n');
        return text.ToString();
    }

    private static IEnumerable<string> Details(GuardEvent line)
    {
        if (line.File is { } file)
            yield return line.Bytes is { } bytes ? $"{file}  {Sizes.Of(bytes)}{(line.Type is { } type ? $", {type}" : "")}" : file;
        if (line.Bugcheck is { } bug)
            yield return $"bugcheck {bug}, by {bug.Origin}";
        if (line.StoodStill is { } pause)
            yield return $"stood still for {Sizes.Of(pause)}";
        if (line.Action is { } action && action != line.Text)
            yield return line.Held is { } held ? $"after {Sizes.Of(held)}: {action}" : action;
        if (line.Sha256 is { } hash)
            yield return $"SHA-256 {hash}";
        if (line.Suppressed is { } suppressed)
            yield return $"{suppressed} since the last dump were suppressed";
        if (line.Took is { } took)
            yield return $"took {Sizes.Of(took)}";
    }

    private void WriteJson(GuardEvent line)
    {
        using (var json = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            Cell.Text(NameOf(line.Kind)).WriteTo(json, "event");
            Cell.Time(line.At).WriteTo(json, "time");
            Cell.Text(line.Guest).WriteTo(json, "guest");
            Cell.Text(line.Why).WriteTo(json, "why");
            Cell.Text(line.Text).WriteTo(json, "text");
            Cell.Time(line.HeardAt).WriteTo(json, "heardTime");
            Cell.Text(line.File).WriteTo(json, "file");
            Cell.Number((long?)line.Bytes).WriteTo(json, "bytes");
            Cell.Text(line.Type).WriteTo(json, "type");
            WriteTime(json, "stoodStillMilliseconds", line.StoodStill);
            WriteTime(json, "heldMilliseconds", line.Held);
            WriteBugcheck(json, line);
            Cell.Text(line.Sha256).WriteTo(json, "sha256");
            Cell.Text(line.Action).WriteTo(json, "action");
            Cell.Boolean(line.Complete).WriteTo(json, "complete");
            Cell.Number(line.Suppressed).WriteTo(json, "suppressed");
            Cell.Number(line.ExitCode).WriteTo(json, "exitCode");
            WriteTime(json, "tookMilliseconds", line.Took);
            JsonLines.Write(json, "lines", line.Lines);
            json.WriteEndObject();
        }
        output.WriteByte((byte)'\n');
    }

    private static void WriteTime(Utf8JsonWriter json, string name, TimeSpan? time)
    {
        if (time is { } known)
            json.WriteNumber(name, known.TotalMilliseconds);
        else
            json.WriteNull(name);
    }

    private static void WriteBugcheck(Utf8JsonWriter json, GuardEvent line)
    {
        if (line.Bugcheck is not { } bug)
        {
            json.WriteNull("bugcheck");
            return;
        }
        json.WriteStartObject("bugcheck");
        Cell.Address(bug.StopCode).WriteTo(json, "code");
        json.WriteStartArray("parameters");
        foreach (var parameter in (ReadOnlySpan<ulong>)[bug.Parameter1, bug.Parameter2, bug.Parameter3, bug.Parameter4])
            json.WriteStringValue(string.Create(CultureInfo.InvariantCulture, $"0x{parameter:x}"));
        json.WriteEndArray();
        Cell.Text(bug.Origin).WriteTo(json, "source");
        json.WriteEndObject();
    }

    private static string NameOf(GuardEventKind kind) => kind.ToString().ToLowerInvariant();
}
