using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>How an object was come by.</summary>
public enum FoundBy
{
    /// <summary>In Windows' own list, which was followed.</summary>
    List,

    /// <summary>By its pattern in memory.</summary>
    Scan,
}

/// <summary>One process (<c>_EPROCESS</c>). Whatever memory did not give is null.</summary>
public sealed record Process
{
    /// <summary>The process identifier (PID).</summary>
    public required ulong Id { get; init; }

    /// <summary>PID of the process it was started by (<c>InheritedFromUniqueProcessId</c>); that one may be gone, and its number given anew.</summary>
    public required ulong ParentId { get; init; }

    /// <summary>File name of the image: from the full path, else the 15 bytes of <c>ImageFileName</c>.</summary>
    public required string Name { get; init; }

    /// <summary>NT path of the image as the audit information has it; null for processes without an image.</summary>
    public string? ImagePath { get; init; }

    /// <summary>From the process's own memory, which it may have changed; null where there is none or its pages are not in memory.</summary>
    public string? CommandLine { get; init; }

    public DateTimeOffset? CreateTime { get; init; }

    public DateTimeOffset? ExitTime { get; init; }

    /// <summary><c>ActiveThreads</c>: threads that have not ended.</summary>
    public required uint ThreadCount { get; init; }

    /// <summary>Null where the build keeps it nowhere we know or the memory is missing; the processes of the system belong to no session.</summary>
    public uint? SessionId { get; init; }

    /// <summary>Guest-physical address of the top page table, PCID masked. With KVA shadow this is the kernel's table, which maps both halves.</summary>
    public required ulong DirectoryTableBase { get; init; }

    /// <summary>With KVA shadow: the table used in user mode, PCID masked; null where the build has none or it is not set.</summary>
    public ulong? UserDirectoryTableBase { get; init; }

    /// <summary>A 32-bit process on 64-bit Windows.</summary>
    public required bool IsWow64 { get; init; }

    /// <summary>Address of the EPROCESS.</summary>
    public required VirtualAddress Address { get; init; }

    /// <summary>Where the EPROCESS begins in guest-physical memory; null where it could not be told.</summary>
    public PhysicalAddress? PhysicalAddress { get; init; }

    /// <summary>User-mode address of the PEB; null where there is none.</summary>
    public VirtualAddress? Peb { get; init; }

    public required FoundBy FoundBy { get; init; }

    /// <summary>In the list of active processes. A process found by scan that is not, has ended or is hidden.</summary>
    public required bool IsListed { get; init; }

    /// <summary>Has an exit time.</summary>
    public required bool HasExited { get; init; }
}
