namespace Forengate.Guests;

/// <summary>What was heard of a guest.</summary>
public enum GuestAlarmKind
{
    /// <summary>The guest's vCPUs were started for the first time, or it came back from a saved state or from another host. No alarm, but the moment from which it is guarded.</summary>
    Started,

    /// <summary>The guest ended in an orderly way: shut down from inside or out, destroyed by somebody, saved, migrated away. Its QEMU is gone.</summary>
    Stopped,

    /// <summary>The guest told of its own crash: pvpanic's "panicked", or the Hyper-V crash registers (<see cref="GuestAlarm.Bugcheck"/>).</summary>
    Panicked,

    /// <summary>The guest has crashed, says so (pvpanic's "crashloaded"), and is about to write a dump of its own: it runs on, and is not to be stopped for long.</summary>
    CrashLoaded,

    /// <summary>A watchdog device of the guest's ran out: the guest hangs. <see cref="GuestAlarm.WatchdogAction"/> tells what QEMU does about it.</summary>
    Watchdog,

    /// <summary>The guest agent, which had answered before, has not for the time that was set, though the vCPUs run: the guest may hang. Told once until it answers again.</summary>
    AgentSilent,

    /// <summary>The guest agent answers again after <see cref="AgentSilent"/>.</summary>
    AgentBack,

    /// <summary>The guest's QEMU ended without having been told to (killed, crashed), or was ended because the guest crashed and nothing could hold it. There is nothing left to dump.</summary>
    Gone,

    /// <summary>The way to the guest, or to the libvirt of all guests, broke: nothing is heard until <see cref="Reachable"/>. Reconnecting is under way.</summary>
    Unreachable,

    /// <summary>The way is there again. What happened meanwhile and can still be seen (a guest that has panicked) follows as alarms of its own.</summary>
    Reachable,
}
