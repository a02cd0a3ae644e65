namespace Forengate.Windows;

/// <summary>
/// Upper bounds for everything that guest memory could make endless. They lie far above what Windows reaches, so that a real system never meets them.
/// </summary>
public sealed class WindowsLimits
{
    public static WindowsLimits Default { get; } = new();

    /// <summary>How far below a kernel address the image's header is looked for, in bytes. Kernel images have stayed below 20 MiB.</summary>
    public ulong ImageSearchDistance { get; init; } = 64UL << 20;

    /// <summary>How often the whole <see cref="ImageSearchDistance"/> may be walked in vain, in one search for a kernel.</summary>
    public int ImageSearches { get; init; } = 64;

    /// <summary>Directory table bases tried, of each kind of origin.</summary>
    public int DirectoryTableBases { get; init; } = 256;

    /// <summary>Page tables read while looking for where an image is mapped, in one such walk.</summary>
    public int PageTables { get; init; } = 65_536;

    /// <summary>Page tables read by all such walks of one search.</summary>
    public int PageTablesInAll { get; init; } = 1 << 20;

    /// <summary>CodeView records of kernels followed up.</summary>
    public int KernelRecords { get; init; } = 64;

    /// <summary>Entries of the process list followed in each direction.</summary>
    public int Processes { get; init; } = 262_144;

    /// <summary>Entries of one process's thread list followed.</summary>
    public int ThreadsPerProcess { get; init; } = 65_536;

    /// <summary>Entries of the driver list followed in each direction.</summary>
    public int Drivers { get; init; } = 16_384;

    /// <summary>Logical processors. Windows' own arrays end at 2048 (<c>KiProcessorBlock</c>).</summary>
    public int Processors { get; init; } = 2048;

    /// <summary>Runs of <c>MmPhysicalMemoryBlock</c>.</summary>
    public int PhysicalMemoryRuns { get; init; } = 4096;

    /// <summary>Warnings kept by a listing; more are counted only.</summary>
    public int Warnings { get; init; } = 64;
}
