using System.Text;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>Commands that are the same whichever way leads to the monitor.</summary>
internal static class MonitorCommands
{
    public const string AddFile = "add-fd";

    /// <summary>The number of the set that a descriptor was added to (qapi/misc.json, AddfdInfo).</summary>
    public static long FileSetOf(JsonElement answer) => answer.Integer("fdset-id") ?? throw new QmpRefusedException(AddFile, "the answer names no set");

    public static RunState ParseState(JsonElement answer) => new(answer.Truth("running") ?? false, answer.Text("status") ?? "unknown");

    /// <summary>What stands under "return" in an answer that libvirt hands over as text.</summary>
    /// <exception cref="QmpRefusedException">QEMU refused the command.</exception>
    /// <exception cref="GuestException">The answer is no JSON.</exception>
    public static JsonElement ReturnOf(string monitor, string command, string answer)
    {
        try
        {
            using var document = JsonDocument.Parse(answer);
            if (document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty("return", out var result))
                return result.Clone();
            var reason = document.RootElement.TryGetObject("error", out var error) ? error.Text("desc") : null;
            throw new QmpRefusedException(command, reason ?? "no reason given");
        }
        catch (JsonException e)
        {
            throw new GuestException(GuestFailure.MonitorFailed, $"{monitor}: the answer to '{command}' is no JSON", e);
        }
    }

    /// <summary>A command as libvirt takes it: it numbers commands itself and refuses one that is numbered.</summary>
    public static string Line(string command, Action<Utf8JsonWriter>? arguments) => Encoding.UTF8.GetString(QmpConnection.Encode(command, arguments, id: null)).TrimEnd('\n');

    /// <summary>True while QEMU calls a migration, save or snapshot unfinished (qapi/migration.json, MigrationStatus: each version adds steps on the way, not ends).</summary>
    public static bool IsAtWork(string? migrationStatus) => migrationStatus is not (null or "none" or "completed" or "failed" or "cancelled");

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
