namespace Forengate.Lab.Image;

/// <summary>What Windows' page-frame database says of a page, in the one byte that <c>pfn.bin</c> has of it: the list it is on (<c>_MMLISTS</c> of the type tables), and what the twin knows besides.</summary>
internal static class PageState
{
    public const byte Zeroed = 0, Free = 1, Standby = 2, Modified = 3, ModifiedNoWrite = 4, Bad = 5, Active = 6, Transition = 7;
    public const byte LocationMask = 7;

    /// <summary>Mapped in user space only, so of no interest to a kernel dump.</summary>
    public const byte User = 0x08;
    /// <summary>A page table.</summary>
    public const byte Table = 0x10;
    /// <summary>Part of a large page.</summary>
    public const byte Large = 0x20;
    /// <summary>In use without an entry that the self-map shows: the top-level tables of KVA shadow's user view with what is under them, boot's own pages, pages that a driver holds.</summary>
    public const byte Unmapped = 0x40;
    /// <summary>No page of Windows': a hole, or RAM that the firmware keeps.</summary>
    public const byte None = 0xFF;

    public static IReadOnlyList<string> Names { get; } = ["zeroed", "free", "standby", "modified", "modifiedNoWrite", "bad", "active", "transition"];
}
