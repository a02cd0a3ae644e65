namespace Forengate.Guests;

/// <summary>What a guard and its keeper say to each other, one line each. A closed socket is a message too.</summary>
internal static class HoldMessages
{
    // From the keeper.
    public const string Ready = "ready";
    public const string Kept = "kept";

    // To the keeper.
    /// <summary>A setting is about to be changed; followed by its number and <see cref="HeldSetting.ToMessage"/>. One of the same number is forgotten.</summary>
    public const string Hold = "hold";

    /// <summary>It was put back, or what had it is gone; followed by its number.</summary>
    public const string Forget = "forget";

    /// <summary>The guard ends, and has put everything back.</summary>
    public const string Bye = "bye";

    /// <summary>The argument behind <see cref="Watchdog.Verb"/>, followed by the guard's process.</summary>
    public const string GuardOption = "--guard";
}
