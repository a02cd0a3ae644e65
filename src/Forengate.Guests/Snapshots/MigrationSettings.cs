using System.Globalization;
using System.Text.Json;

namespace Forengate.Guests;

/// <summary>Runs a QMP command and gives what stands under "return"; throws <see cref="QmpRefusedException"/> when QEMU refuses it.</summary>
internal delegate JsonElement MonitorCall(string command, Action<Utf8JsonWriter>? arguments);

/// <summary>
/// QEMU's migration settings, changed for a background snapshot and put back afterwards: a capability left on makes the next save of the guest hang, a bandwidth left low makes the
/// snapshot slow and with it the guest.
/// </summary>
internal sealed class MigrationSettings
{
    public const string Snapshot = "background-snapshot";

    /// <summary>Stands for what there is none of, in <see cref="ToMessage"/>.</summary>
    private const string None = "-";

    /// <summary>
    /// Capabilities that QEMU refuses together with a background snapshot (migration/options.c, background-snapshot incompatibilities), those that ask for one of them, and one that would leave
    /// shared memory out of it (x-ignore-shared).
    /// </summary>
    private static readonly string[] s_incompatible =
    [
        "postcopy-ram", "dirty-bitmaps", "postcopy-blocktime", "late-block-activate", "return-path", "multifd", "pause-before-switchover", "auto-converge", "release-ram",
        "rdma-pin-all", "compress", "xbzrle", "x-colo", "validate-uuid", "zero-copy-send", "mapped-ram",
        "x-ignore-shared", "postcopy-preempt", "switchover-ack", "dirty-limit",
    ];

    /// <summary>Bytes a second; far above any host's memory, and within what QEMU takes.</summary>
    private const long Unlimited = 1L << 42;

    private readonly MonitorCall _monitor;
    private readonly IReadOnlyList<string> _switchedOff;
    private readonly long? _bandwidth;
    private bool _restored;

    private MigrationSettings(MonitorCall monitor, long? bandwidth, IReadOnlyList<string> switchedOff)
    {
        _monitor = monitor;
        _bandwidth = bandwidth;
        _switchedOff = switchedOff;
    }

    /// <summary>Looks at the settings and changes nothing.</summary>
    /// <param name="monitor">For them all, now and later.</param>
    /// <exception cref="QmpRefusedException">This QEMU can't make a background snapshot.</exception>
    public static MigrationSettings Read(IGuestMonitor monitor) => Read((command, arguments) => monitor.Qmp(command, arguments, CancellationToken.None));

    /// <inheritdoc cref="Read(IGuestMonitor)"/>
    public static MigrationSettings Read(MonitorCall monitor)
    {
        var bandwidth = monitor("query-migrate-parameters", null).Integer("max-bandwidth");
        var on = monitor("query-migrate-capabilities", null).Items().Where(item => item.Truth("state") == true).Select(item => item.Text("capability")).OfType<string>().ToHashSet();
        return new MigrationSettings(monitor, bandwidth, [.. s_incompatible.Where(on.Contains)]);
    }

    /// <summary>What another process needs to put them back: two words.</summary>
    public string ToMessage() => string.Create(CultureInfo.InvariantCulture,
        $"{_bandwidth?.ToString(CultureInfo.InvariantCulture) ?? None} {(_switchedOff.Count == 0 ? None : string.Join(',', _switchedOff))}");

    /// <summary>The settings of which another process told.</summary>
    public static MigrationSettings FromMessage(MonitorCall monitor, string bandwidth, string switchedOff) => new(
        monitor,
        long.TryParse(bandwidth, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes) ? bytes : null,
        switchedOff == None ? [] : [.. switchedOff.Split(',').Intersect(s_incompatible)]);

    /// <summary>Sets QEMU up for a background snapshot.</summary>
    /// <exception cref="QmpRefusedException">This QEMU, or this guest's memory, can't make one; everything is as it was.</exception>
    public void Apply()
    {
        try
        {
            // At once: QEMU judges what would be on afterwards, and some ask for others.
            SetCapabilities(_monitor, [.. _switchedOff.Select(name => (name, false)), (Snapshot, true)]);
            SetBandwidth(Unlimited);
        }
        catch
        {
            Restore();
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
        string? failed = null;
        // Each by itself: what can be put back is.
        Try(() => SetCapability(_monitor, Snapshot, false));
        if (_switchedOff.Count != 0)
            Try(() => SetCapabilities(_monitor, [.. _switchedOff.Select(name => (name, true))]));
        if (_bandwidth is { } bandwidth)
            Try(() => SetBandwidth(bandwidth));
        return failed is null ? null : $"QEMU's migration settings could not be put back ({failed}): run forengate rescue before the guest is saved or migrated";

        void Try(Action set)
        {
            try
            {
                set();
            }
            catch (Exception e) when (e is IOException or QmpRefusedException)
            {
                failed ??= e.Message;
            }
        }
    }

    public static void SetCapability(MonitorCall monitor, string name, bool state) => SetCapabilities(monitor, [(name, state)]);

    private static void SetCapabilities(MonitorCall monitor, IReadOnlyList<(string Name, bool State)> states) => monitor("migrate-set-capabilities", writer =>
    {
        writer.WriteStartArray("capabilities");
        foreach (var (name, state) in states)
        {
            writer.WriteStartObject();
            writer.WriteString("capability", name);
            writer.WriteBoolean("state", state);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    });

    private void SetBandwidth(long bytes) => _monitor("migrate-set-parameters", writer => writer.WriteNumber("max-bandwidth", bytes));
}
