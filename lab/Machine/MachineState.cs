using System.Text.Json;

namespace Forengate.Lab.Machine;

/// <summary>What is written beside a running machine, so that a later program finds it again.</summary>
internal sealed record MachineState(
    int Pid, ulong StartTime, IReadOnlyList<string> QmpSockets, string SerialSocket, string Name, string? LibvirtUri)
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    public void Write(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this, Json));

    /// <summary>Null when there is none.</summary>
    public static MachineState? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<MachineState>(File.ReadAllText(path), Json);
        }
        catch (Exception e) when (e is IOException or JsonException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
