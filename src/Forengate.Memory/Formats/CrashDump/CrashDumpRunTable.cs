namespace Forengate.Memory;

/// <summary>A run of a complete dump and where its pages lie in the file.</summary>
/// <param name="Run">As the header lists it.</param>
/// <param name="FileOffset">Offset of its first page in the file, in bytes.</param>
/// <param name="PagesInFile">How many of its pages the file really holds; fewer than listed where the file ends early.</param>
public readonly record struct CrashDumpRunPlacement(CrashDumpRun Run, ulong FileOffset, ulong PagesInFile);

/// <summary>
/// The physical memory block of a complete dump laid over its file: pages follow the header run by run, in the header's order, whatever order that is. Made from hostile
/// input: counts are clamped, sums cannot overflow, and what does not fit is told in <see cref="Problems"/>.
/// </summary>
public sealed class CrashDumpRunTable
{
    private CrashDumpRunTable(IReadOnlyList<CrashDumpRunPlacement> runs, IReadOnlyList<CrashDumpRunProblem> problems, ulong pages, ulong expectedSize)
        => (Runs, Problems, Pages, ExpectedFileSize) = (runs, problems, pages, expectedSize);

    /// <summary>In the header's order.</summary>
    public IReadOnlyList<CrashDumpRunPlacement> Runs { get; }

    public IReadOnlyList<CrashDumpRunProblem> Problems { get; }

    /// <summary>Sum of the page counts of all runs that are possible memory.</summary>
    public ulong Pages { get; }

    /// <summary>Header and all pages, in bytes.</summary>
    public ulong ExpectedFileSize { get; }

    public static CrashDumpRunTable Read(CrashDumpHeader64 header, ulong fileLength)
    {
        var listed = new List<CrashDumpRun>();
        var pages = 0UL;
        for (var i = 0; i < CrashDumpLayout64.MaxRuns && IsListed(i, header.NumberOfRuns, CrashDumpLayout64.MaxRuns, pages, header.NumberOfPages); i++)
        {
            listed.Add(header.Run(i));
            pages = unchecked(pages + listed[i].PageCount);
        }
        return Place(listed, header.NumberOfRuns, header.NumberOfPages, CrashDumpLayout64.HeaderSize, CrashDumpLayout64.MaxRuns, fileLength);
    }

    public static CrashDumpRunTable Read(CrashDumpHeader32 header, ulong fileLength)
    {
        var listed = new List<CrashDumpRun>();
        var pages = 0UL;
        for (var i = 0; i < CrashDumpLayout32.MaxRuns && IsListed(i, header.NumberOfRuns, CrashDumpLayout32.MaxRuns, pages, header.NumberOfPages); i++)
        {
            listed.Add(header.Run(i));
            pages = unchecked(pages + listed[i].PageCount);
        }
        return Place(listed, header.NumberOfRuns, header.NumberOfPages, CrashDumpLayout32.HeaderSize, CrashDumpLayout32.MaxRuns, fileLength);
    }

    /// <summary>A count that cannot be is no count: then the runs go on as long as pages are missing from NumberOfPages.</summary>
    private static bool IsListed(int index, uint count, int maxRuns, ulong pages, ulong pagesListed) => count <= maxRuns ? index < count : pages < pagesListed;

    private static CrashDumpRunTable Place(List<CrashDumpRun> listed, uint count, ulong pagesListed, int headerSize, int maxRuns, ulong fileLength)
    {
        var problems = new List<CrashDumpRunProblem>();
        if (count > maxRuns)
            problems.Add(new(CrashDumpRunFault.TooMany, $"the header counts {count} physical memory runs, but only {maxRuns} fit into it"));
        else if (count == 0)
            problems.Add(new(CrashDumpRunFault.None, "the header lists no physical memory run"));

        var placed = new List<CrashDumpRunPlacement>(listed.Count);
        var pages = 0UL;
        for (var i = 0; i < listed.Count; i++)
        {
            var run = listed[i];
            var offset = (ulong)headerSize + (pages << Page.Shift);
            if (!run.IsPossible)
            {
                problems.Add(run.PageCount == 0
                    ? new(CrashDumpRunFault.Empty, $"run {i + 1} has no pages")
                    : new(CrashDumpRunFault.Impossible, $"run {i + 1} is no possible memory: base page 0x{run.BasePage:x}, 0x{run.PageCount:x} pages"));
                placed.Add(new(run, offset, 0));
                continue;
            }
            var inFile = fileLength <= offset ? 0 : Math.Min(run.PageCount, (fileLength - offset) >> Page.Shift);
            if (inFile < run.PageCount)
                problems.Add(new(CrashDumpRunFault.BeyondFile, $"run {i + 1} ({run.Range}) ends beyond the file: 0x{run.PageCount - inFile:x} of its 0x{run.PageCount:x} pages are missing, from physical address 0x{(run.BasePage + inFile) << Page.Shift:x} on"));
            var clash = placed.FindIndex(other => other.Run.IsPossible && Overlap(other.Run, run));
            if (clash >= 0)
                problems.Add(new(CrashDumpRunFault.Overlap, $"run {i + 1} ({run.Range}) overlaps run {clash + 1} ({placed[clash].Run.Range})"));
            else if (i > 0 && listed[i - 1].IsPossible && run.BasePage < listed[i - 1].BasePage)
                problems.Add(new(CrashDumpRunFault.Order, $"run {i + 1} ({run.Range}) lies below run {i} ({listed[i - 1].Range}): Windows lists runs in ascending order"));
            placed.Add(new(run, offset, inFile));
            // 43 runs of at most 2^40 pages each cannot overflow.
            pages += run.PageCount;
        }
        if (pages != pagesListed)
            problems.Add(new(CrashDumpRunFault.Sum, $"the runs have 0x{pages:x} pages, NumberOfPages says 0x{pagesListed:x}"));
        return new CrashDumpRunTable(placed, problems, pages, (ulong)headerSize + (pages << Page.Shift));
    }

    private static bool Overlap(CrashDumpRun a, CrashDumpRun b) =>
        a.BasePage < b.BasePage + b.PageCount && b.BasePage < a.BasePage + a.PageCount;
}

/// <summary>What is wrong with a dump's runs.</summary>
public enum CrashDumpRunFault
{
    /// <summary>There is no run.</summary>
    None,

    /// <summary>More than fit the header.</summary>
    TooMany,

    /// <summary>Without pages.</summary>
    Empty,

    /// <summary>Beyond all physical addresses.</summary>
    Impossible,

    Overlap,

    /// <summary>Not ascending.</summary>
    Order,

    /// <summary>The pages do not add up to NumberOfPages.</summary>
    Sum,

    /// <summary>The file ends before the run does.</summary>
    BeyondFile,

    /// <summary>The table of pages that the type of dump should have is not there.</summary>
    NoTable,
}

/// <summary>One thing that is wrong with a dump's runs.</summary>
/// <param name="Fault">What kind.</param>
/// <param name="Text">One line for people.</param>
public readonly record struct CrashDumpRunProblem(CrashDumpRunFault Fault, string Text)
{
    /// <summary>True where pages are lost or in doubt; an empty run or an odd order costs nothing.</summary>
    public bool IsDamage => Fault is not (CrashDumpRunFault.Empty or CrashDumpRunFault.Order);
}
