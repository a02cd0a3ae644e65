namespace Forengate.Windows;

/// <summary>
/// Where one build keeps the fields of <c>_EPROCESS</c> and what hangs on it. Offsets in bytes; null where the build lacks the field, or where a deduced profile does not know it. Resolved once.
/// </summary>
internal sealed record ProcessLayout
{
    /// <summary>Size of <c>_KPROCESS</c>, in bytes.</summary>
    public required int? KProcessSize { get; init; }

    // _KPROCESS and its _DISPATCHER_HEADER.
    public required int HeaderType { get; init; }
    public required int HeaderWaitListHead { get; init; }
    public required int? ProfileListHead { get; init; }
    public required int DirectoryTableBase { get; init; }
    public required int? UserDirectoryTableBase { get; init; }
    public required int? KernelThreadListHead { get; init; }

    // _EPROCESS.
    public required int UniqueProcessId { get; init; }
    public required int ActiveProcessLinks { get; init; }
    public required int? InheritedFromUniqueProcessId { get; init; }
    public required int ImageFileName { get; init; }
    public required int? SeAuditImageFileName { get; init; }
    public required int? Peb { get; init; }
    public required int? WoW64Process { get; init; }
    public required int? Session { get; init; }
    public required int? CreateTime { get; init; }
    public required int? ExitTime { get; init; }
    public required int? ActiveThreads { get; init; }
    public required int? ThreadListHead { get; init; }

    // Elsewhere.
    public required int? SessionId { get; init; }
    public required int? PebSessionId { get; init; }
    public required int PebProcessParameters { get; init; }
    public required int ParametersCommandLine { get; init; }

    /// <summary>Bytes from the start of an EPROCESS that hold every field above: what one read takes.</summary>
    public required int Length { get; init; }
}
