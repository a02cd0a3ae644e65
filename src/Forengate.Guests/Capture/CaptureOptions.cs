namespace Forengate.Guests;

/// <summary>How consistency is won.</summary>
public enum CaptureMode
{
    /// <summary>The guest is stopped while its RAM is copied into memory made ready before, then runs on. Short stop, needs as much host memory as the guest has, or a disk for the rest.</summary>
    StopAndCopy,

    /// <summary>
    /// QEMU's background snapshot: the guest stands still for milliseconds, whatever its size, and is slowed while its memory is sent. Needs as much host memory as the guest has, or a disk for the rest.
    /// </summary>
    Snapshot,

    /// <summary>A background snapshot where this QEMU, its rights, the guest's memory and devices and the host's free memory allow it; else stop and copy, and the reason is among the remarks.</summary>
    Auto,

    /// <summary>The guest stands still as long as the view is open and is read in place. No copy, a stop of the caller's length.</summary>
    HoldStopped,

    /// <summary>The guest runs on while it is read: nothing is stopped, the view is smeared.</summary>
    Live,

    /// <summary>libvirt's own memory-only dump: the guest stands still for all of it. Planned where QEMU's process is not at hand, never asked for.</summary>
    LibvirtDump,

    /// <summary>The guest stands still while its memory is read by libvirt's memory peek. Planned where QEMU's process is not at hand, never asked for.</summary>
    LibvirtPeek,
}

/// <summary>By whose hand a guest of libvirt's is read.</summary>
public enum CaptureMeans
{
    /// <summary>QEMU's process and monitor where they are at hand; else libvirt's own dump; else memory peeks, with QEMU's monitor asked through libvirt for the registers (taints).</summary>
    Auto,

    /// <summary>QEMU's process and monitor, and nothing else.</summary>
    Qemu,

    /// <summary>libvirt's own calls only, which leave no trace on the domain: its memory-only dump where its daemon can write into a pipe of ours, else <see cref="Peek"/>.</summary>
    Libvirt,

    /// <summary>libvirt's suspend, memory peek and resume only: no registers, no trace on the domain.</summary>
    Peek,

    /// <summary>As <see cref="Peek"/>, and QEMU's monitor is asked through libvirt for the memory map and the registers (taints).</summary>
    Monitor,
}

/// <summary>What a capture may do to a guest.</summary>
public sealed record CaptureOptions
{
    public CaptureMode Mode { get; init; } = CaptureMode.StopAndCopy;

    /// <summary>libvirt URI; null for <c>LIBVIRT_DEFAULT_URI</c>, else <c>qemu:///system</c>.</summary>
    public string? ConnectUri { get; init; }

    /// <summary>By whose hand. Only for guests of libvirt's.</summary>
    public CaptureMeans Means { get; init; }

    /// <summary>RAM below 4 GiB in bytes, where the user knows it and libvirt's description leaves it open; null: as the machine type has it, checked by the firmware's tables.</summary>
    public ulong? LowMemory { get; init; }

    /// <summary>The program that is started as watchdog. Needed by the modes that stop the guest.</summary>
    public WatchdogHost? Watchdog { get; init; }

    /// <summary>
    /// After how long the watchdog continues the guest whatever we are doing. Null: for <see cref="CaptureMode.StopAndCopy"/> the greater of 10 s and four times the
    /// expected copy time, for <see cref="CaptureMode.HoldStopped"/> 60 s.
    /// </summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>
    /// SIGTERM and SIGHUP do not end a copy: for a program that finishes what is under way when it is told to end, and that always ends a capture by its token. Else they continue the guest at once.
    /// </summary>
    public bool GoesOnThroughSignals { get; init; }

    /// <summary>Refuse a <see cref="CaptureMode.StopAndCopy"/> or <see cref="CaptureMode.Snapshot"/> that is expected to keep the guest standing longer; null for no limit.</summary>
    public TimeSpan? MaxPause { get; init; }

    /// <summary>Folder on a disk for the part of a copy that the host has no memory for; null for <see cref="OutputFolder"/>, or /var/tmp where that is none on a disk.</summary>
    public string? SpillFolder { get; init; }

    /// <summary>Where the result will be written, so that room is left for it; null where that is not known.</summary>
    public string? OutputFolder { get; init; }

    /// <summary>All of memory will be read from the view, whatever the mode: refused where reading it would harm the guest.</summary>
    public bool ReadsAll { get; init; }

    /// <summary>Free host memory in bytes, instead of what the host says.</summary>
    internal ulong? AvailableMemory { get; init; }

    /// <summary>A snapshot that sends nothing for so long is stuck: two were seen so, at their very beginning, and never again.</summary>
    internal TimeSpan SnapshotSilence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>A guest that is expected to stand still for so long is not stopped before the runtime has compiled what it wants to.</summary>
    internal TimeSpan LongPause { get; init; } = BackgroundCompiler.Worth;

    /// <summary>Threads that copy; 0 for one a core.</summary>
    public int Threads { get; init; }

    internal int CopyingThreads => Threads > 0 ? Threads : Environment.ProcessorCount;
}

/// <summary>What a capture is doing.</summary>
public enum CapturePhase
{
    Connecting,
    PreparingMemory,

    /// <summary>A first copy, while the guest runs: of a guest that is stopped for the second.</summary>
    CopyingAhead,
    Copying,
    Done,
}

/// <summary>How far a capture is.</summary>
/// <param name="Phase">What is being done.</param>
/// <param name="Bytes">Bytes done in this phase.</param>
/// <param name="TotalBytes">Bytes this phase has to do; 0 where it has none.</param>
public readonly record struct CaptureProgress(CapturePhase Phase, ulong Bytes, ulong TotalBytes);
