namespace Forengate.Lab.Image;

/// <summary>
/// Page-table entries as Windows sets them. Hardware bits: Intel SDM vol. 3A, 4.5. Software bits: <c>_MMPTE_HARDWARE</c> of the type tables (bit 9 copy-on-write, bit 11
/// write). Entries that are not valid: <c>_MMPTE_TRANSITION</c> (bit 11), <c>_MMPTE_SOFTWARE</c> (page file).
/// </summary>
internal static class Pte
{
    public const ulong Valid = 1 << 0;
    public const ulong Write = 1 << 1;
    public const ulong User = 1 << 2;
    public const ulong CacheDisable = 1 << 4;
    public const ulong WriteThrough = 1 << 3;
    public const ulong Accessed = 1 << 5;
    public const ulong Dirty = 1 << 6;
    public const ulong Large = 1 << 7;
    public const ulong Global = 1 << 8;
    public const ulong SoftwareWrite = 1 << 11;
    public const ulong NoExecute = 1UL << 63;
    public const ulong AddressMask = 0x000F_FFFF_FFFF_F000;

    public const ulong KernelTable = Valid | Write | Accessed | Dirty | SoftwareWrite;
    public const ulong UserTable = KernelTable | User;
    public const ulong KernelCode = Valid | Accessed | Global;
    public const ulong KernelReadOnly = Valid | Accessed | Global | NoExecute;
    public const ulong KernelData = Valid | Write | Accessed | Dirty | Global | SoftwareWrite | NoExecute;
    public const ulong UserCode = Valid | User | Accessed;
    public const ulong UserReadOnly = Valid | User | Accessed | NoExecute;
    public const ulong UserData = Valid | Write | User | Accessed | Dirty | SoftwareWrite | NoExecute;
    public const ulong Device = Valid | Write | WriteThrough | CacheDisable | Accessed | Dirty | Global | NoExecute;

    /// <summary>A page on its way out: not valid, but still in RAM at the frame the entry names. Protection 4 is read and write.</summary>
    public static ulong Transition(ulong page) => page | 1UL << 11 | 4UL << 5;
}
