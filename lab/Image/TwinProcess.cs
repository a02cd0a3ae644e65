namespace Forengate.Lab.Image;

/// <summary>A process as it was laid out.</summary>
internal sealed record TwinProcess
{
    public required ProcessPlan Plan { get; init; }
    public required ulong Eprocess { get; init; }
    /// <summary>Physical address of the PML4.</summary>
    public required ulong Root { get; init; }
    /// <summary>_KPROCESS.DirectoryTableBase, PCID included.</summary>
    public required ulong Dtb { get; init; }
    /// <summary>_KPROCESS.UserDirectoryTableBase, 0 without KVA shadow.</summary>
    public required ulong UserDtb { get; init; }
    public required ulong Peb { get; init; }
    public required ulong Wow64Peb { get; init; }
    public required ulong ImageBase { get; init; }
    /// <summary>ImageFileName as the kernel keeps it: at most 14 bytes.</summary>
    public required byte[] ShortName { get; init; }
    /// <summary>Native path in SeAuditProcessCreationInfo.</summary>
    public required string NativePath { get; init; }
    public required uint ExitStatus { get; init; }
    public required ulong ActiveProcessLinks { get; init; }
    public List<TwinThread> Threads { get; } = [];
}

/// <summary>A thread as it was laid out.</summary>
internal sealed record TwinThread
{
    public required uint Tid { get; init; }
    public required ulong Ethread { get; init; }
    public required ulong Teb { get; init; }
    public required ulong StackBase { get; init; }
    public required ulong StackLimit { get; init; }
    /// <summary>Stack pointer an entry from ring 3 starts from: below the place of the extended state.</summary>
    public required ulong InitialStack { get; init; }
    public required ulong StartAddress { get; init; }
    public required ulong Win32StartAddress { get; init; }
    public required ulong CreateTime { get; init; }
    public required ulong ExitTime { get; init; }
    public required byte State { get; init; }
}
