namespace Forengate.Guests;

/// <summary>What an alarm source listens for and may do.</summary>
public sealed record AlarmOptions
{
    /// <summary>
    /// Makes crashed guests wait for us instead of being ended or restarted at once. libvirt: sets the *running* guest's on_crash to "preserve" (virDomainSetLifecycleAction, live only), when the source
    /// is opened or the guest starts, and puts it back when the source is disposed; the persistent definition is never touched. QMP: <c>set-action panic=pause</c>. Default: on.
    /// </summary>
    public bool HoldCrashes { get; init; } = true;

    /// <summary>
    /// The program that becomes the keeper: a process that puts back what <see cref="HoldCrashes"/> has set when this one is killed. One for all sources of this process, from the first hold on. Null: there is none, and a
    /// killed process leaves the guests' settings changed. Where it can't be started, or ends too early, a remark says so.
    /// </summary>
    public WatchdogHost? Watchdog { get; init; }

    /// <summary>How often the guest agent is asked for a sign of life; null: it is not asked. 100 ms to 1 h.</summary>
    public TimeSpan? AgentInterval { get; init; }

    /// <summary>How many times in a row the agent must not answer until it counts as silent. 1 to 1000.</summary>
    public int AgentMisses { get; init; } = 3;

    /// <summary>How long one answer of the agent's may take. libvirt counts whole seconds: 1 s at least.</summary>
    public TimeSpan AgentPatience { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The unix socket of a QMP guest's agent channel (QEMU's chardev with server=on); null: no agent is asked. libvirt guests need none.</summary>
    public string? AgentSocket { get; init; }

    /// <summary>
    /// How long a lost way is tried again until the source is over; null: as long as the source lives. Attempts come at growing distances, 5 s at most.
    /// </summary>
    public TimeSpan? ReconnectFor { get; init; }
}
