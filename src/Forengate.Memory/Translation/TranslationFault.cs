namespace Forengate.Memory;

/// <summary>Why a virtual address leads to no bytes.</summary>
public enum TranslationFault : byte
{
    None = 0,

    /// <summary>The address is not canonical for the paging mode.</summary>
    NotCanonical,

    /// <summary>An entry on the way has its present bit clear; <see cref="Translation.Level"/> and <see cref="Translation.Entry"/> tell which.</summary>
    NotPresent,

    /// <summary>A table on the way lies in memory that the view does not hold.</summary>
    TableMissing,

    /// <summary>An entry on the way has bits set that the CPU would fault on.</summary>
    Malformed,
}
