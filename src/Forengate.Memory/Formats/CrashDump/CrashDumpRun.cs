namespace Forengate.Memory;

/// <summary>A physical memory run as a crash dump's header lists it. Values are the file's own: they may be wild.</summary>
/// <param name="BasePage">Page frame number of the first page.</param>
/// <param name="PageCount">How many pages follow each other.</param>
public readonly record struct CrashDumpRun(ulong BasePage, ulong PageCount)
{
    /// <summary>Physical addresses have at most 52 bits, so a page frame number has at most 40 (Intel SDM vol. 3A, 4.1.4).</summary>
    public const ulong FrameLimit = 1UL << 40;

    /// <summary>True when the run holds pages and all of them are addresses that a CPU can have.</summary>
    public bool IsPossible => PageCount != 0 && BasePage < FrameLimit && PageCount <= FrameLimit - BasePage;

    /// <summary>The run in bytes; only where <see cref="IsPossible"/>.</summary>
    public PhysicalRange Range => new(PhysicalAddress.FromFrame(BasePage), PageCount << Page.Shift);
}
