namespace Forengate.Guests;

/// <summary>What a guest does, in libvirt's words.</summary>
public enum GuestState
{
    Unknown,
    Running,
    Blocked,
    Paused,
    ShuttingDown,
    ShutOff,
    Crashed,
    Suspended,
}

/// <summary>One guest of a host, for a listing.</summary>
public sealed record GuestInfo
{
    public required string Name { get; init; }

    public required Guid Uuid { get; init; }

    public required GuestState State { get; init; }

    /// <summary>Memory the guest may use at most, in bytes.</summary>
    public required ulong MaxMemory { get; init; }

    /// <summary>Memory the guest has now (less after ballooning), in bytes.</summary>
    public required ulong Memory { get; init; }

    public required int VirtualCpus { get; init; }

    /// <summary>libvirt's running number; null for a guest that does not run.</summary>
    public required int? Id { get; init; }

    /// <summary>What its memory is; null where libvirt did not say.</summary>
    public GuestMemoryFacts? MemoryFacts { get; init; }

    /// <summary>What to give as TARGET.</summary>
    public string Target { get => field ?? $"libvirt:{Name}"; init; }
}
