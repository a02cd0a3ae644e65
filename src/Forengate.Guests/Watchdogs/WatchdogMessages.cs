namespace Forengate.Guests;

/// <summary>What Forengate and its watchdog say to each other: one word a line, some with a number. Silence and a closed socket are messages too.</summary>
internal static class WatchdogMessages
{
    // From the watchdog.
    public const string Ready = "ready";
    public const string Armed = "armed";
    public const string Disarmed = "disarmed";
    /// <summary>The watchdog has continued the guest; followed by the monotonic time in ticks of <see cref="System.Diagnostics.Stopwatch"/>.</summary>
    public const string Continued = "continued";
    public const string Failed = "failed";

    // To the watchdog.
    /// <summary>The guest is about to be stopped; followed by the deadline in milliseconds.</summary>
    public const string Stopping = "stopping";

    /// <summary>
    /// A background snapshot is about to begin; followed by the milliseconds after which nobody reads it any more if "reading" was not said, and by <see cref="MigrationSettings.ToMessage"/>.
    /// </summary>
    public const string Snapshot = "snapshot";

    /// <summary>Somebody reads the snapshot.</summary>
    public const string Reading = "reading";

    /// <summary>QEMU answers nothing, and who captures gives up: the watchdog reads the snapshot to its end, however long that takes, and ends nobody for it.</summary>
    public const string Adopt = "adopt";

    /// <summary>The guest runs again, or the snapshot is at its end and its settings are put back.</summary>
    public const string Resumed = "resumed";
    public const string Bye = "bye";

    // Arguments of the watchdog's command line.
    public const string ParentOption = "--parent";
    public const string TargetOption = "--target";
    public const string UriOption = "--connect";

    /// <summary>The number of QEMU's process.</summary>
    public const string QemuOption = "--qemu";

    /// <summary>Descriptor, in the watchdog, of the reading end of the pipe that a snapshot comes through.</summary>
    public const string StreamOption = "--stream";

    /// <summary>Descriptor of the control socket in the watchdog.</summary>
    public const int ControlDescriptor = 3;

    /// <summary>Descriptor of the monitor's connection in the watchdog, for a QMP target.</summary>
    public const int MonitorDescriptor = 4;
}
