namespace Forengate.Windows;

/// <summary>Where a 32-bit kernel keeps what is read of it, in bytes from the start of each structure.</summary>
/// <param name="Version">The kernel file's version whose type table says so.</param>
/// <param name="Build">Its build number.</param>
/// <param name="ProcessId"><c>EPROCESS.UniqueProcessId</c>.</param>
/// <param name="ProcessLinks"><c>EPROCESS.ActiveProcessLinks</c>.</param>
/// <param name="ParentId"><c>EPROCESS.InheritedFromUniqueProcessId</c>.</param>
/// <param name="ImageFileName"><c>EPROCESS.ImageFileName</c>, <see cref="ImageFileNameLength"/> bytes.</param>
/// <param name="CreateTime"><c>EPROCESS.CreateTime</c>.</param>
/// <param name="ExitTime"><c>EPROCESS.ExitTime</c>.</param>
/// <param name="Peb"><c>EPROCESS.Peb</c>.</param>
/// <param name="ActiveThreads"><c>EPROCESS.ActiveThreads</c>.</param>
/// <param name="ThreadListHead"><c>EPROCESS.ThreadListHead</c>.</param>
/// <param name="ThreadListEntry"><c>ETHREAD.ThreadListEntry</c>.</param>
/// <param name="ThreadProcess"><c>KTHREAD.ApcState.Process</c>.</param>
/// <param name="ProcessorNumber"><c>KPRCB.Number</c>; its lowest byte is there in all builds.</param>
/// <param name="ProcessorState"><c>KPRCB.ProcessorState</c>: CONTEXT, then KSPECIAL_REGISTERS.</param>
/// <param name="ContextPointer"><c>KPRCB.Context</c>; null before Windows 7.</param>
internal sealed record X86Layout(
    string Version, uint Build, int ProcessId, int ProcessLinks, int ParentId, int ImageFileName, int CreateTime, int ExitTime, int Peb, int ActiveThreads,
    int ThreadListHead, int ThreadListEntry, int ThreadProcess, int ProcessorNumber, int ProcessorState, int? ContextPointer)
{
    // The same in all 21 type tables.
    public const int ObjectType = 0x00;
    public const int DirectoryTableBase = 0x18;
    public const int CurrentThread = 0x04;
    public const int ImageFileNameLength = 15;
    public const int ModuleBase = 0x18;
    public const int ModuleEntryPoint = 0x1C;
    public const int ModuleSize = 0x20;
    public const int ModulePath = 0x24;
    public const int ModuleName = 0x2C;
    public const int ModuleTimeDateStamp = 0x44;
    public const int ModuleLength = 0x48;
    public const int PcrSelf = 0x1C;
    public const int PcrPrcb = 0x20;
    public const int PcrVersionBlock = 0x34;
    public const int PcrIdt = 0x38;
    public const int PcrGdt = 0x3C;
    public const int PcrContainedPrcb = 0x120;

    /// <summary>KPROCESS's type in DISPATCHER_HEADER (<c>KOBJECTS</c>); the highest bit is a flag of some builds.</summary>
    public const byte ProcessObject = 3;

    /// <summary>Bytes of an EPROCESS that hold all the fields read.</summary>
    public int ProcessLength => new[] { ProcessId, ProcessLinks, ParentId, ImageFileName + 8, CreateTime, ExitTime, Peb, ActiveThreads, ThreadListHead }.Max() + 8;
}
