using Forengate.Guests;

namespace Forengate.Engine;

/// <summary>What an alarm means for a guard.</summary>
internal static class GuardPolicy
{
    /// <summary>What QEMU does by itself when a watchdog runs out, after which there is nothing to see of the hang.</summary>
    private static readonly string[] s_tooLate = ["reset", "shutdown", "poweroff"];

    /// <summary>The trigger that an alarm pulls.</summary>
    public static GuardTriggers TriggerOf(GuestAlarmKind kind) => kind switch
    {
        // "crashloaded" is what Windows' panic driver tells when it is about to write a dump of its own, as by its default settings it does: it has crashed all the same.
        GuestAlarmKind.Panicked or GuestAlarmKind.CrashLoaded => GuardTriggers.Panic,
        GuestAlarmKind.Watchdog => GuardTriggers.Watchdog,
        GuestAlarmKind.AgentSilent => GuardTriggers.Silence,
        _ => GuardTriggers.None,
    };

    /// <summary>In a word.</summary>
    public static string WordOf(GuardTriggers trigger) => trigger.ToString().ToLowerInvariant();

    /// <summary>Why no dump can be made after this alarm, with what would allow it the next time; null where one can.</summary>
    public static string? Hindrance(GuestAlarm alarm)
    {
        if (alarm.Kind == GuestAlarmKind.Watchdog && alarm.Standing != GuestStanding.Stands && s_tooLate.Contains(alarm.WatchdogAction))
            return $"QEMU did what its watchdog is set to ({alarm.WatchdogAction}) before the guest could be dumped; with action='pause' it waits";
        return alarm.Standing == GuestStanding.Ends ? "its QEMU has ended, there is nothing left to dump; with on_crash 'preserve', or a guard that may hold crashes, it waits" : null;
    }
}
