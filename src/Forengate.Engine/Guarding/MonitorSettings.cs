using System.Text.Json;
using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>Reads a guest's crash settings from its QEMU, where there is no libvirt.</summary>
internal static class MonitorSettings
{
    /// <summary>Where QEMU keeps devices of the command line, with and without an id.</summary>
    private static readonly string[] s_devices = ["/machine/peripheral", "/machine/peripheral-anon"];

    /// <summary>QOM types and what libvirt calls them.</summary>
    private static readonly Dictionary<string, string> s_panic = new() { ["child<pvpanic>"] = "isa", ["child<pvpanic-pci>"] = "pvpanic" };

    private static readonly string[] s_watchdogs = ["i6300esb", "ib700", "diag288"];

    /// <exception cref="GuestException">The monitor can't be had, or breaks off.</exception>
    public static CrashSettings Read(GuardedMonitor guest, CancellationToken ct)
    {
        using var monitor = QmpMonitor.Open(guest.Socket, ct);
        var types = s_devices.SelectMany(path => Types(monitor, path, ct)).ToArray();
        List<string> panics = [.. types.Where(s_panic.ContainsKey).Select(type => s_panic[type])];
        if (HasCrashRegisters(monitor, ct))
            panics.Add("hyperv");
        return new CrashSettings
        {
            PanicDevices = panics,
            Watchdogs = [.. types.Select(type => Array.Find(s_watchdogs, name => type == $"child<{name}>")).OfType<string>().Select(name => (name, (string?)null))],
            HasAgentChannel = guest.AgentSocket is not null,
            IsKvm = Ask(monitor, "query-kvm", null, ct) is { ValueKind: JsonValueKind.Object } kvm && kvm.TryGetProperty("enabled", out var enabled) ? enabled.ValueKind == JsonValueKind.True : null,
            Memory = Ask(monitor, "query-memory-size-summary", null, ct) is { ValueKind: JsonValueKind.Object } size && size.TryGetProperty("base-memory", out var bytes) && bytes.TryGetUInt64(out var count)
                ? count : null,
            IsLibvirt = false,
        };
    }

    private static IEnumerable<string> Types(QmpMonitor monitor, string path, CancellationToken ct)
    {
        if (Ask(monitor, "qom-list", w => w.WriteString("path", path), ct) is not { ValueKind: JsonValueKind.Array } list)
            yield break;
        foreach (var child in list.EnumerateArray())
        {
            if (child.ValueKind == JsonValueKind.Object && child.TryGetProperty("type", out var type) && type.ValueKind == JsonValueKind.String)
                yield return type.GetString()!;
        }
    }

    /// <summary>The CPU flag hv-crash.</summary>
    private static bool HasCrashRegisters(QmpMonitor monitor, CancellationToken ct)
    {
        if (Ask(monitor, "query-cpus-fast", null, ct) is not { ValueKind: JsonValueKind.Array } cpus || cpus.GetArrayLength() == 0)
            return false;
        if (!cpus[0].TryGetProperty("qom-path", out var path) || path.ValueKind != JsonValueKind.String)
            return false;
        return Ask(monitor, "qom-get", w => { w.WriteString("path", path.GetString()); w.WriteString("property", "hv-crash"); }, ct) is { ValueKind: JsonValueKind.True };
    }

    /// <summary>Null for what this QEMU does not know.</summary>
    private static JsonElement? Ask(QmpMonitor monitor, string command, Action<Utf8JsonWriter>? arguments, CancellationToken ct)
    {
        try
        {
            return monitor.Qmp(command, arguments, ct);
        }
        catch (IOException e) when (e is not GuestException)
        {
            return null;
        }
    }
}
