namespace Forengate.Guests;

/// <summary>What a libvirt source knows of one running domain. Belongs to the source's thread.</summary>
internal sealed class GuardedDomain(Guid uuid, string name, int? id, int agentMisses)
{
    public Guid Uuid { get; } = uuid;

    public string Name { get; } = name;

    /// <summary>libvirt's running number.</summary>
    public int? Id { get; } = id;

    public GuestTarget Target { get; } = new(GuestTargetKind.Libvirt, name);

    /// <summary>As it was found; null until it was looked at, or where that failed.</summary>
    public CrashSetting? Setting { get; set; }

    /// <summary>It is being looked at: what is to be told waits for it.</summary>
    public bool IsBeingLookedAt { get; set; }

    /// <summary>Its on_crash is "preserve" through us (or through a guard before us) and is to be put back.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Another guard that holds its crashes, and will do its crash action; null where there is none. It may have ended since.</summary>
    public HoldOwner? HeldBy { get; set; }

    /// <summary>When to look at it once more, in <see cref="Environment.TickCount64"/>; null: when something happens.</summary>
    public long? LookAgainAt { get; set; }

    /// <summary>It has been told of as crashed, and has neither been reset nor continued since.</summary>
    public bool HasCrashed { get; set; }

    /// <summary>A panic that was heard while it was looked at.</summary>
    public (GuestPanicEvent Event, DateTimeOffset At)? Pending { get; set; }

    public CrashHold? Hold { get; set; }

    public AgentWatch Agent { get; } = new(agentMisses);

    public bool IsBeingAsked { get; set; }

    /// <summary>When to ask the agent next, in <see cref="Environment.TickCount64"/>.</summary>
    public long AskAt { get; set; }
}
