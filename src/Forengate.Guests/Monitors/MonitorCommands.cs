using System.Text.Json;

namespace Forengate.Guests;

/// <summary>Commands that are the same whichever way leads to the monitor.</summary>
internal static class MonitorCommands
{
    public static RunState ParseState(JsonElement answer) => new(answer.Truth("running") ?? false, answer.Text("status") ?? "unknown");

    /// <summary>A QOM property as text; null where the object or the property does not exist.</summary>
    public static string? QomText(this IGuestMonitor monitor, string path, string property, CancellationToken ct)
    {
        var value = monitor.TryQmp("qom-get", w => { w.WriteString("path", path); w.WriteString("property", property); }, ct);
        return value is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;
    }

    /// <summary>Runs a command that older or differently built QEMUs may not know; null when it is refused.</summary>
    public static JsonElement? TryQmp(this IGuestMonitor monitor, string command, Action<Utf8JsonWriter>? arguments, CancellationToken ct)
    {
        try
        {
            return monitor.Qmp(command, arguments, ct);
        }
        catch (QmpRefusedException)
        {
            return null;
        }
    }

    /// <summary>Runs a line of the human monitor; an empty text when it is refused.</summary>
    public static string TryHuman(this IGuestMonitor monitor, string commandLine, CancellationToken ct)
    {
        try
        {
            return monitor.Human(commandLine, ct);
        }
        catch (QmpRefusedException)
        {
            return "";
        }
    }
}
