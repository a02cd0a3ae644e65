namespace Forengate.Windows;

/// <summary>Where one build keeps the fields of <c>_ETHREAD</c> that lead to a process. Offsets in bytes.</summary>
internal sealed record ThreadLayout
{
    /// <summary><c>_KTHREAD.Process</c>: the owner.</summary>
    public required int Process { get; init; }

    /// <summary><c>_KTHREAD.ApcState.Process</c>: whose address space it runs in.</summary>
    public required int AttachedProcess { get; init; }

    /// <summary><c>_KTHREAD.ThreadListEntry</c>, in the list at <c>_KPROCESS.ThreadListHead</c>.</summary>
    public required int KernelThreadListEntry { get; init; }
}
