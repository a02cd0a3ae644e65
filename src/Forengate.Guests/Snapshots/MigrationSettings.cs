using System.Text.Json;

namespace Forengate.Guests;

/// <summary>
/// QEMU's migration settings, changed for a background snapshot and put back afterwards: a capability left on makes the next save of the guest hang, a bandwidth left low makes the
/// snapshot slow and with it the guest.
/// </summary>
internal sealed class MigrationSettings
{
    public const string Snapshot = "background-snapshot";

    /// <summary>Capabilities that QEMU refuses together with a background snapshot (migration/options.c, background-snapshot incompatibilities).</summary>
    private static readonly string[] s_incompatible =
    [
        "postcopy-ram", "dirty-bitmaps", "postcopy-blocktime", "late-block-activate", "return-path", "multifd", "pause-before-switchover", "auto-converge", "release-ram",
        "rdma-pin-all", "compress", "xbzrle", "x-colo", "validate-uuid", "zero-copy-send", "mapped-ram",
    ];

    /// <summary>Bytes a second; far above any host's memory, and within what QEMU takes.</summary>
    private const long Unlimited = 1L << 42;

    private readonly IGuestMonitor _monitor;
    private readonly List<string> _switchedOff = [];
    private readonly long? _bandwidth;
    private bool _restored;

    private MigrationSettings(IGuestMonitor monitor, long? bandwidth)
    {
        _monitor = monitor;
        _bandwidth = bandwidth;
    }

    /// <summary>Sets QEMU up for a background snapshot.</summary>
    /// <exception cref="QmpRefusedException">This QEMU, or this guest's memory, can't make one; everything is as it was.</exception>
    public static MigrationSettings ForSnapshot(IGuestMonitor monitor, CancellationToken ct)
    {
        var bandwidth = monitor.Qmp("query-migrate-parameters", null, ct).Integer("max-bandwidth");
        var settings = new MigrationSettings(monitor, bandwidth);
        var on = monitor.Qmp("query-migrate-capabilities", null, ct).Items().Where(item => item.Truth("state") == true).Select(item => item.Text("capability")).OfType<string>().ToHashSet();
        try
        {
            foreach (var name in s_incompatible.Where(on.Contains))
            {
                SetCapability(monitor, name, false, ct);
                settings._switchedOff.Add(name);
            }
            SetCapability(monitor, Snapshot, true, ct);
            SetBandwidth(monitor, Unlimited, ct);
            return settings;
        }
        catch
        {
            settings.Restore();
            throw;
        }
    }

    /// <summary>Puts everything back; only when no migration is active. Never throws.</summary>
    /// <returns>Null, or what could not be put back.</returns>
    public string? Restore()
    {
        if (_restored)
            return null;
        _restored = true;
        try
        {
            SetCapability(_monitor, Snapshot, false, CancellationToken.None);
            foreach (var name in _switchedOff)
                SetCapability(_monitor, name, true, CancellationToken.None);
            if (_bandwidth is { } bandwidth)
                SetBandwidth(_monitor, bandwidth, CancellationToken.None);
            return null;
        }
        catch (Exception e) when (e is IOException or QmpRefusedException)
        {
            return $"QEMU's migration settings could not be put back ({e.Message}): run forengate rescue before the guest is saved or migrated";
        }
    }

    public static void SetCapability(IGuestMonitor monitor, string name, bool state, CancellationToken ct) => monitor.Qmp("migrate-set-capabilities", writer =>
    {
        writer.WriteStartArray("capabilities");
        writer.WriteStartObject();
        writer.WriteString("capability", name);
        writer.WriteBoolean("state", state);
        writer.WriteEndObject();
        writer.WriteEndArray();
    }, ct);

    private static void SetBandwidth(IGuestMonitor monitor, long bytes, CancellationToken ct) => monitor.Qmp("migrate-set-parameters", writer => writer.WriteNumber("max-bandwidth", bytes), ct);
}
