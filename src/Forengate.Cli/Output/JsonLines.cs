using System.Text.Json;

namespace Forengate.Cli.Output;

/// <summary>Lines for people in JSON: an array of strings.</summary>
internal static class JsonLines
{
    public static void Write(Utf8JsonWriter json, string name, IEnumerable<string> lines)
    {
        json.WriteStartArray(name);
        foreach (var line in lines)
            json.WriteStringValue(TerminalText.ReplaceLoneSurrogates(line));
        json.WriteEndArray();
    }
}
