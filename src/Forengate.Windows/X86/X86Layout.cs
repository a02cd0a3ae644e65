using Forengate.Symbols;
using F = Forengate.Symbols.KernelField;

namespace Forengate.Windows;

/// <summary>Where a 32-bit kernel keeps what is read of it, in bytes from the start of each structure: taken from the layout that is known of its version, before anything is read.</summary>
/// <param name="Version">The kernel file's version whose type table says so.</param>
/// <param name="Build">Its build number.</param>
/// <param name="ProcessSize">Size of an EPROCESS.</param>
/// <param name="DirectoryTableBase"><c>KPROCESS.DirectoryTableBase</c>.</param>
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
/// <param name="ThreadId"><c>ETHREAD.Cid.UniqueThread</c>.</param>
/// <param name="ThreadProcess"><c>KTHREAD.ApcState.Process</c>.</param>
/// <param name="CurrentThread"><c>KPRCB.CurrentThread</c>.</param>
/// <param name="ProcessorNumber"><c>KPRCB.Number</c>; its lowest byte is there in all builds.</param>
/// <param name="ProcessorState"><c>KPRCB.ProcessorState</c>: CONTEXT, then KSPECIAL_REGISTERS.</param>
/// <param name="ContextPointer"><c>KPRCB.Context</c>; null before Windows 7.</param>
/// <param name="Module">Entries of the list of modules.</param>
internal sealed record X86Layout(
    string Version, uint Build, int ProcessSize, int DirectoryTableBase, int ProcessId, int ProcessLinks, int ParentId, int ImageFileName, int CreateTime, int ExitTime, int Peb, int ActiveThreads,
    int ThreadListHead, int ThreadListEntry, int ThreadId, int ThreadProcess, int CurrentThread, int ProcessorNumber, int ProcessorState, int? ContextPointer, X86ModuleLayout Module)
{
    // The processor control region is read before the build is known, and x64's fields of these names are others, so that no profile has them. ntddk.h fixes all but the last; that is the same in
    // all 21 type tables (layouts.tar.zst of the test data), which a test says.
    public const int PcrSelf = 0x1C;
    public const int PcrPrcb = 0x20;
    public const int PcrVersionBlock = 0x34;
    public const int PcrGdt = 0x3C;
    public const int PcrContainedPrcb = 0x120;

    /// <summary>DISPATCHER_HEADER begins with it (ntddk.h).</summary>
    public const int ObjectType = 0x00;

    /// <summary>Letters of <c>EPROCESS.ImageFileName</c> (the array is that long, or 16 before Vista with the last always zero).</summary>
    public const int ImageFileNameLength = 15;

    /// <summary>KPROCESS's type in DISPATCHER_HEADER (<c>KOBJECTS</c>); the highest bit is a flag of some builds.</summary>
    public const byte ProcessObject = 3;

    /// <summary>Bytes of an EPROCESS that hold all the fields read.</summary>
    public int ProcessLength => new[] { ProcessId, ProcessLinks, ParentId, ImageFileName + 8, CreateTime, ExitTime, Peb, ActiveThreads, ThreadListHead }.Max() + 8;

    /// <summary>Offset of KSPECIAL_REGISTERS in a KPRCB: they follow the CONTEXT in KPROCESSOR_STATE.</summary>
    public int SpecialRegisters => ProcessorState + X86ProcessorReader.ContextLength;

    /// <summary>A 32-bit version's layout; null where it has not all that is read.</summary>
    public static X86Layout? Of(VersionLayout layout)
    {
        var whole = true;
        int At(F field) => layout.OffsetOf(field) ?? Missing();
        int Missing()
        {
            whole = false;
            return 0;
        }
        var size = layout.SizeOf(KernelStruct.EPROCESS) ?? Missing();
        var made = new X86Layout(
            layout.Version.ToString(), (uint)layout.Version.Build, size, At(F.EPROCESS_Pcb) + At(F.KPROCESS_DirectoryTableBase), At(F.EPROCESS_UniqueProcessId), At(F.EPROCESS_ActiveProcessLinks),
            At(F.EPROCESS_InheritedFromUniqueProcessId), At(F.EPROCESS_ImageFileName), At(F.EPROCESS_CreateTime), At(F.EPROCESS_ExitTime), At(F.EPROCESS_Peb), At(F.EPROCESS_ActiveThreads),
            At(F.EPROCESS_ThreadListHead), At(F.ETHREAD_ThreadListEntry), At(F.ETHREAD_Cid) + At(F.CLIENT_ID_UniqueThread), At(F.KTHREAD_ApcState) + At(F.KAPC_STATE_Process),
            At(F.KPRCB_CurrentThread), At(F.KPRCB_Number), At(F.KPRCB_ProcessorState), layout.OffsetOf(F.KPRCB_Context),
            new X86ModuleLayout(
                layout.SizeOf(KernelStruct.LDR_DATA_TABLE_ENTRY) ?? Missing(), At(F.LDR_DATA_TABLE_ENTRY_DllBase), At(F.LDR_DATA_TABLE_ENTRY_EntryPoint), At(F.LDR_DATA_TABLE_ENTRY_SizeOfImage),
                At(F.LDR_DATA_TABLE_ENTRY_FullDllName), At(F.LDR_DATA_TABLE_ENTRY_BaseDllName), At(F.LDR_DATA_TABLE_ENTRY_TimeDateStamp)));
        return whole ? made : null;
    }
}

/// <summary>Where an entry of <c>PsLoadedModuleList</c> keeps what is read of it.</summary>
/// <param name="Size">Of an entry.</param>
/// <param name="Base"><c>DllBase</c>.</param>
/// <param name="EntryPoint"><c>EntryPoint</c>.</param>
/// <param name="ImageSize"><c>SizeOfImage</c>.</param>
/// <param name="Path"><c>FullDllName</c>.</param>
/// <param name="Name"><c>BaseDllName</c>.</param>
/// <param name="TimeDateStamp"><c>TimeDateStamp</c>.</param>
internal readonly record struct X86ModuleLayout(int Size, int Base, int EntryPoint, int ImageSize, int Path, int Name, int TimeDateStamp)
{
    /// <summary>Bytes of an entry that hold all of these: the entry in the kernel's list may be shorter than the user mode's structure of that name.</summary>
    public int Length => TimeDateStamp + sizeof(uint);
}
