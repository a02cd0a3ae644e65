using Forengate.Guests;
using Forengate.Memory;
using Forengate.Symbols;
using Forengate.Windows;

namespace Forengate.Engine;

/// <summary>
/// A target opened into a view, with the Windows found in it. Disposing it ends whatever the view held: a guest that was stopped for it runs again.
/// </summary>
public sealed class Examination : IDisposable
{
    private const string InconsistentPrefix = "inconsistent:";

    private GuestException? _vanished;

    private readonly IReadOnlyList<string> _refused;

    private TornReads _torn;

    private Examination(View view, WindowsSearch windows, SmallDump? small, IReadOnlyList<string> refused)
    {
        _refused = refused;
        View = view;
        Windows = windows;
        Small = small;
    }

    public View View { get; }

    /// <summary>The Windows in the view, or why there is none.</summary>
    public WindowsSearch Windows { get; }

    /// <summary>What a small dump tells, which has no memory to find Windows in; null for every other target.</summary>
    public SmallDump? Small { get; }

    /// <summary>True where processes and drivers can be listed.</summary>
    public bool CanList => Windows.System is not null || Windows.X86 is not null || Small is not null;

    /// <summary>
    /// The CPUs' registers: the view's, or, where it has none and its memory keeps them (a crash dump), those of Windows' processors. Empty where neither is known.
    /// </summary>
    public IReadOnlyList<CpuState> Cpus =>
        View.Cpus.Count > 0 || Windows.System is not { } system ? View.Cpus : SavedCpus(system);

    /// <summary>Registers that the memory of the system's image keeps, by Windows' processor numbers.</summary>
    internal static IReadOnlyList<CpuState> SavedCpus(WindowsSystem system) =>
        [.. system.Processors.Where(processor => processor.RegistersAreInMemory).Select(processor => processor.Cpu!)];

    /// <summary>What should be told beside the results: how the view came about where that is not plain, how smeared it is.</summary>
    public IEnumerable<string> Remarks
    {
        get
        {
            foreach (var remark in View.Origin.Remarks.Except(Inconsistencies))
                yield return remark;
            foreach (var line in _refused)
                yield return line;
            if (View.Consistency.Level == ConsistencyLevel.Smeared)
                yield return $"the view is smeared ({View.Consistency.Reason}): {Smear?.ToString() ?? "lists may be torn"}";
        }
    }

    /// <summary>Of a guest that ran while it was read: how much changed meanwhile, and what the lists read from it met. Known once this is disposed; null for every other target.</summary>
    public SmearScore? Smear => View.Origin.Smear is { } score ? score with { Torn = score.Torn + _torn } : null;

    /// <summary>Opens a target to look into it: a live guest stands still until the examination is disposed (or runs on, if the options say live).</summary>
    /// <param name="target">An image file, <c>libvirt:NAME</c> or <c>qmp:SOCKET</c>.</param>
    /// <param name="options">What else the user said of it.</param>
    /// <param name="progress">Told what takes long.</param>
    /// <param name="cancellation">Ends the work; a stopped guest is continued.</param>
    /// <exception cref="GuestException">The guest can't be seen.</exception>
    /// <exception cref="IOException">The file can't be read, or is no image (<see cref="ImageFormatException"/>).</exception>
    public static Examination Open(string target, TargetOptions options, IProgress<JobProgress>? progress, CancellationToken cancellation) =>
        Open(target, options, CaptureMode.HoldStopped, progress, cancellation);

    /// <summary>Opens a target to take all of it: memory of one instant of a running guest, by the best way there is; it runs again when this returns.</summary>
    /// <inheritdoc cref="Open(string, TargetOptions, IProgress{JobProgress}?, CancellationToken)"/>
    public static Examination OpenWhole(string target, TargetOptions options, IProgress<JobProgress>? progress, CancellationToken cancellation, string? output = null) =>
        Open(target, options, CaptureMode.Auto, progress, cancellation, output);

    public Listing<Process> Processes(bool scan, IProgress<JobProgress>? progress, CancellationToken cancellation) => Counted(Small is { } small
        ? new Listing<Process>(small.Process is { } only ? [only] : [], [.. small.ProcessWarnings, "a small dump holds one process only, the one that ran where it crashed"])
        : Windows.X86 is { } x86 ? scan ? X86Lists.ScanProcesses(x86, Progress(progress, "scanning memory"), cancellation) : X86Lists.Processes(x86, cancellation)
        : scan
        ? ProcessList.Scan(Found, Progress(progress, "scanning memory"), cancellation)
        : ProcessList.Walk(Found, cancellation));

    public Listing<Driver> Drivers(bool scan, IProgress<JobProgress>? progress, CancellationToken cancellation) => Counted(Small is { } small
        ? new Listing<Driver>(small.Drivers, scan ? ["a small dump has no memory to scan: this is its own list"] : small.Drivers.Count == 0 ? ["the small dump lists no driver"] : [])
        : Windows.X86 is { } x86 ? scan ? X86Lists.ScanDrivers(x86, Progress(progress, "scanning memory"), cancellation) : X86Lists.Drivers(x86, cancellation)
        : scan
        ? DriverList.Scan(Found, Progress(progress, "scanning memory"), cancellation)
        : DriverList.Walk(Found, cancellation));

    private Listing<T> Counted<T>(Listing<T> listing)
    {
        _torn += listing.Torn;
        return listing;
    }

    /// <summary>What is damaged or cut off in the image: what is read from it may not be all there was. Empty for a sound image and a live guest.</summary>
    public IReadOnlyList<string> Damage => [.. View.Origin.Damage, .. Small?.Damage ?? []];

    /// <summary>What went wrong while a live guest was held, known once this is disposed: someone continued it while it was read. Empty for files.</summary>
    public IReadOnlyList<string> Inconsistencies =>
        InconsistenciesOf(View.Origin);

    internal static IReadOnlyList<string> InconsistenciesOf(ViewOrigin origin) =>
        [.. origin.Remarks.Where(remark => remark.StartsWith(InconsistentPrefix, StringComparison.Ordinal))];

    public void Dispose()
    {
        _vanished ??= FailureOf(View.Memory);
        View.Dispose();
    }

    /// <summary>A guest that ended while it was read leaves short lists, not errors: say so before anyone believes them.</summary>
    /// <exception cref="GuestException">The guest vanished.</exception>
    public void ThrowIfVanished()
    {
        if ((_vanished ?? FailureOf(View.Memory)) is { } failure)
            throw failure;
    }

    private static GuestException? FailureOf(PhysicalMemory memory) => LiveMemory.Behind(memory)?.Failure ?? (memory as PeekMemory)?.Failure;

    /// <exception cref="WindowsNotFoundException">There is none.</exception>
    private WindowsSystem Found => Windows.System ?? throw new WindowsNotFoundException(Windows.Reason ?? "no Windows found in this memory");

    /// <summary>Opens a target without looking for Windows in it.</summary>
    internal static View OpenView(
        string target, TargetOptions options, CaptureMode wholeOrHeld, IProgress<JobProgress>? progress, CancellationToken cancellation, string? output = null) =>
        GuestTarget.TryParse(target, out var guest)
            ? LiveCapture.Take(guest, CaptureOptions(options, wholeOrHeld, output), CaptureProgress(progress), cancellation)
            : ProcessTarget.TryParse(target, out var process) ? ProcessCapture.Take(process, ImageFiles.LowMemory(options), wholeOrHeld == CaptureMode.Auto)
            : ImageFiles.Open(target, options, progress, cancellation);

    private static Examination Open(
        string target, TargetOptions options, CaptureMode wholeOrHeld, IProgress<JobProgress>? progress, CancellationToken cancellation, string? output = null)
    {
        // Named files are looked at before a guest is stopped.
        var isLive = GuestTarget.TryParse(target, out _);
        // A download takes seconds: the guest runs meanwhile, and stands still only when its symbols are at hand.
        if (isLive && options is { SymbolServers.Count: > 0, StoreFolder: not null } && options.Consistency != CaptureChoice.Live)
        {
            FetchRunning(target, options, progress, cancellation);
            options = options with { SymbolServers = [] };
        }
        using var profiles = KnownProfiles.Of(options, cancellation);
        var view = OpenView(target, options, wholeOrHeld, progress, cancellation, output);
        try
        {
            if (LiveMemory.Behind(view.Memory) is null && view.Memory is not PeekMemory && view.Memory.Ranges.Count == 0 && TriageDump.IsSmall(target))
            {
                using var dump = TriageDump.Open(target);
                var small = SmallDumpReader.Read(dump, profiles.Store);
                return new Examination(view, new WindowsSearch(null, small.Facts, "a small dump holds no memory: this needs a kernel, bitmap or complete dump"), small, profiles.Refused);
            }
            var windows = WindowsSystem.Find(view, profiles.Store, cancellation);
            return new Examination(view, windows, null, profiles.Refused);
        }
        catch
        {
            view.Dispose();
            throw;
        }
    }

    /// <summary>Looks into a running guest for its kernel, so that symbol servers put its profile into the local store.</summary>
    private static void FetchRunning(string target, TargetOptions options, IProgress<JobProgress>? progress, CancellationToken cancellation)
    {
        using var profiles = KnownProfiles.Of(options, cancellation);
        using var view = OpenView(target, options with { Consistency = CaptureChoice.Live, MaxPause = null }, CaptureMode.Live, progress, cancellation);
        WindowsSystem.Find(view, profiles.Store, cancellation);
    }

    /// <param name="options">What the user said.</param>
    /// <param name="wholeOrHeld"><see cref="CaptureMode.Auto"/> to take all of memory, <see cref="CaptureMode.HoldStopped"/> to look into it.</param>
    /// <param name="output">Where the result is written; null where that is not known.</param>
    internal static CaptureOptions CaptureOptions(TargetOptions options, CaptureMode wholeOrHeld, string? output = null) => new()
    {
        Mode = options.Consistency switch
        {
            CaptureChoice.Live => CaptureMode.Live,
            CaptureChoice.Snapshot => CaptureMode.Snapshot,
            CaptureChoice.Stop when wholeOrHeld == CaptureMode.Auto => CaptureMode.StopAndCopy,
            _ => wholeOrHeld,
        },
        ConnectUri = options.ConnectUri,
        Means = options.Means,
        LowMemory = ImageFiles.LowMemory(options),
        MaxPause = options.MaxPause,
        SpillFolder = options.SpillFolder,
        OutputFolder = output is null or ImageOutput.StandardOutput ? null : Path.GetDirectoryName(Path.GetFullPath(output)),
        GoesOnThroughSignals = options.GoesOnThroughSignals,
        ReadsAll = wholeOrHeld == CaptureMode.Auto,
        Watchdog = WatchdogHost.ThisProgram(),
    };

    private static SynchronousProgress<CaptureProgress>? CaptureProgress(IProgress<JobProgress>? progress) => progress is null
        ? null
        : new SynchronousProgress<CaptureProgress>(value => progress.Report(new JobProgress(
            value.Phase switch
            {
                CapturePhase.Connecting => "connecting",
                CapturePhase.PreparingMemory => "preparing memory",
                CapturePhase.CopyingAhead => "copying memory ahead",
                _ => "copying memory",
            },
            value.Bytes, value.TotalBytes)));

    private SynchronousProgress<double>? Progress(IProgress<JobProgress>? progress, string what) => progress is null
        ? null
        : new SynchronousProgress<double>(share => progress.Report(new JobProgress(what, (ulong)(share * View.Memory.Size), View.Memory.Size)));
}
