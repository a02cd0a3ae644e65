namespace Forengate.Guests;

/// <summary>Something that was heard of a guest, once: what several ways tell of one event comes as one alarm.</summary>
public sealed record GuestAlarm
{
    /// <summary>The guest, as a capture takes it; null where all guests of a libvirt are meant (<see cref="GuestAlarmKind.Unreachable"/>, <see cref="GuestAlarmKind.Reachable"/>).</summary>
    public required GuestTarget? Target { get; init; }

    public required GuestAlarmKind Kind { get; init; }

    /// <summary>QEMU's own time stamp where it was told, else when we heard of it. UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>One line for people: what happened, and how we know.</summary>
    public required string Text { get; init; }

    /// <summary>The domain's UUID; null for a guest that is not libvirt's. Two guests of one name after another have the same; <see cref="DomainId"/> tells them apart.</summary>
    public Guid? Uuid { get; init; }

    /// <summary>libvirt's running number of the domain; null where it has none, or no libvirt.</summary>
    public int? DomainId { get; init; }

    /// <summary>Stop code and parameters, where the guest reported them to its hypervisor; null otherwise, also for pvpanic.</summary>
    public BugcheckReport? Bugcheck { get; init; }

    /// <summary>What QEMU, or libvirt, does about a watchdog that ran out: "reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi", "dump". Null for other alarms.</summary>
    public string? WatchdogAction { get; init; }

    /// <summary>What the guest's vCPUs do now.</summary>
    public GuestStanding Standing { get; init; }

    /// <summary>
    /// A crashed guest that waits for us: after the dump, <see cref="CrashHold.Apply"/> does to it what its own settings ask for. Whoever takes the alarm must apply it, whether the dump went well or
    /// not; the source applies what is left when it is disposed. Null: nothing is held back.
    /// </summary>
    public CrashHold? Hold { get; init; }

    /// <summary>True for the alarms that a dump is wanted for while there is something to dump.</summary>
    public bool WantsDump => Kind is GuestAlarmKind.Panicked or GuestAlarmKind.Watchdog or GuestAlarmKind.AgentSilent && Standing is not (GuestStanding.Ends or GuestStanding.Resets);
}
