using System.Text.Json;

namespace Forengate.Guests;

/// <summary>What QEMU tells in GUEST_PANICKED (qapi/run-state.json).</summary>
/// <param name="Bugcheck">The Hyper-V crash registers, where the event has them.</param>
/// <param name="Standing">What QEMU does with the guest, by the event's "action".</param>
internal readonly record struct GuestPanicEvent(BugcheckReport? Bugcheck, GuestStanding Standing)
{
    /// <summary>Reads the event's data; whatever is not there, or of another kind, is left out.</summary>
    public static GuestPanicEvent Read(JsonElement data)
    {
        var standing = data.Text("action") switch
        {
            "pause" => GuestStanding.Stands,
            "poweroff" => GuestStanding.Ends,
            "run" => GuestStanding.Runs,
            _ => GuestStanding.Unknown,
        };
        return new GuestPanicEvent(data.TryGetObject("info", out var info) && info.Text("type") == "hyper-v" ? ReadHyperV(info) : null, standing);
    }

    /// <summary>The same from JSON text; an event that is none of it has no data.</summary>
    public static GuestPanicEvent Read(string? data)
    {
        if (string.IsNullOrEmpty(data))
            return Read(default(JsonElement));
        try
        {
            using var document = JsonDocument.Parse(data);
            return Read(document.RootElement);
        }
        catch (JsonException)
        {
            return Read(default(JsonElement));
        }
    }

    private static BugcheckReport? ReadHyperV(JsonElement info)
    {
        if (info.Unsigned("arg1") is not { } code || info.Unsigned("arg2") is not { } p1 || info.Unsigned("arg3") is not { } p2 || info.Unsigned("arg4") is not { } p3
            || info.Unsigned("arg5") is not { } p4)
        {
            return null;
        }
        // The register has 64 bits, the code 32 (KeBugCheckEx takes a ULONG).
        return new BugcheckReport((uint)code, p1, p2, p3, p4, "Hyper-V crash registers, by QEMU's GUEST_PANICKED");
    }

    /// <summary>What becomes of a guest whose watchdog ran out (qapi/run-state.json, WatchdogAction).</summary>
    public static GuestStanding AfterWatchdog(string? action) => action switch
    {
        "pause" => GuestStanding.Stands,
        "reset" => GuestStanding.Resets,
        "poweroff" => GuestStanding.Ends,
        "shutdown" or "none" or "debug" or "inject-nmi" => GuestStanding.Runs,
        _ => GuestStanding.Unknown,
    };
}
