namespace Forengate.Lab.Machine;

/// <summary>How a twin tells of its crash.</summary>
public enum PanicWay
{
    /// <summary>pvpanic's port on the ISA bus.</summary>
    Isa = 1,

    /// <summary>pvpanic-pci's register.</summary>
    Pci = 2,

    /// <summary>It does not: the ib700 watchdog runs out.</summary>
    Watchdog = 3,
}
