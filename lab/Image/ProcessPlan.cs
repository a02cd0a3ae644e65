namespace Forengate.Lab.Image;

/// <summary>What becomes of a process in the image.</summary>
internal enum ProcessState
{
    /// <summary>In PsActiveProcessHead and running.</summary>
    Running,
    /// <summary>Ended, kept by a handle, still in the list.</summary>
    ExitedListed,
    /// <summary>Ended and out of the list; its block of pool is still there.</summary>
    ExitedUnlisted,
    /// <summary>Running, but taken out of the list.</summary>
    Hidden,
    /// <summary>Laid out in full, not yet linked: a command over the serial line does that.</summary>
    Spare,
}

/// <summary>A process before it is laid out.</summary>
internal sealed record ProcessPlan
{
    public required uint Pid { get; init; }
    public required uint ParentPid { get; init; }
    /// <summary>File name as the user sees it; the kernel keeps its first 14 bytes in ANSI.</summary>
    public required string Name { get; init; }
    /// <summary>Win32 path of the image; empty for processes without one.</summary>
    public required string Path { get; init; }
    public required string CommandLine { get; init; }
    /// <summary>Session id; null where the process is in none.</summary>
    public uint? Session { get; init; }
    public bool Wow64 { get; init; }
    /// <summary>System, Registry and the like: no user address space.</summary>
    public bool Minimal { get; init; }
    public ProcessState State { get; init; }
    public required ulong CreateTime { get; init; }
    public ulong ExitTime { get; init; }
    public required int Threads { get; init; }
    /// <summary>A CPU can run in it: its image lies where the user-mode loop is assembled for.</summary>
    public bool HostsCpu { get; init; }

    public bool HasUserSpace => !Minimal && State is not (ProcessState.ExitedListed or ProcessState.ExitedUnlisted);
    public bool HasExited => State is ProcessState.ExitedListed or ProcessState.ExitedUnlisted;
    public bool IsListed => State is ProcessState.Running or ProcessState.ExitedListed;
}
