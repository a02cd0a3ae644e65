namespace Forengate.Guests;

/// <summary>What a guest's vCPUs do after an alarm.</summary>
public enum GuestStanding
{
    /// <summary>Not told.</summary>
    Unknown,

    /// <summary>They run.</summary>
    Runs,

    /// <summary>They stand still, and QEMU waits for somebody: the guest can be dumped for as long as that takes.</summary>
    Stands,

    /// <summary>The guest is being reset: its next boot overwrites what there was to see.</summary>
    Resets,

    /// <summary>QEMU has ended, or does so now.</summary>
    Ends,
}
