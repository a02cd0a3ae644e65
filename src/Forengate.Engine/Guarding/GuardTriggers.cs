namespace Forengate.Engine;

/// <summary>What a guard dumps for.</summary>
[Flags]
public enum GuardTriggers
{
    None = 0,

    /// <summary>The guest told of its own crash: a panic device, or Hyper-V's crash registers.</summary>
    Panic = 1,

    /// <summary>A watchdog device ran out.</summary>
    Watchdog = 2,

    /// <summary>The guest agent, which had answered, does no more.</summary>
    Silence = 4,

    All = Panic | Watchdog | Silence,
}
