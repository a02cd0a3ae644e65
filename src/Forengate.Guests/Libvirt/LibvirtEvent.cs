namespace Forengate.Guests;

/// <summary>What libvirt called us with, taken out of its hands: nothing here refers to its memory.</summary>
internal abstract record LibvirtEvent
{
    /// <summary>The connection broke; which one it was is told so that a late word of an earlier one counts for nothing.</summary>
    public sealed record Closed(int Reason) : LibvirtEvent;

    /// <param name="Uuid">The domain.</param>
    /// <param name="Name">Its name.</param>
    /// <param name="Id">libvirt's running number; null for one that is off.</param>
    public abstract record OfDomain(Guid Uuid, string Name, int? Id) : LibvirtEvent;

    public sealed record Lifecycle(Guid Uuid, string Name, int? Id, int Event, int Detail) : OfDomain(Uuid, Name, Id);

    public sealed record Reboot(Guid Uuid, string Name, int? Id) : OfDomain(Uuid, Name, Id);

    public sealed record Watchdog(Guid Uuid, string Name, int? Id, int Action) : OfDomain(Uuid, Name, Id);

    public sealed record Agent(Guid Uuid, string Name, int? Id, int State) : OfDomain(Uuid, Name, Id);

    /// <summary>QEMU's own GUEST_PANICKED, with its data as JSON text.</summary>
    public sealed record Panicked(Guid Uuid, string Name, int? Id, DateTimeOffset? At, string? Data) : OfDomain(Uuid, Name, Id);
}
