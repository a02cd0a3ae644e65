using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>Every layout this room needs of one kernel build, resolved once when the kernel is opened.</summary>
internal sealed record KernelLayouts(
    ProcessLayout Process, ThreadLayout Thread, ProcessorLayout Processor, DriverLayout Driver, SharedDataLayout SharedData, PhysicalMemoryBlockLayout PhysicalMemoryBlock)
{
    public static KernelLayouts? Resolve(KernelProfile profile, out string missing)
    {
        var lookup = new Lookup(profile);
        var layouts = new KernelLayouts(ProcessOf(lookup), ThreadOf(lookup), ProcessorOf(lookup), DriverOf(lookup), SharedDataOf(lookup), MemoryBlockOf(lookup));
        missing = string.Join(", ", lookup.Missing);
        return lookup.Missing.Count == 0 ? layouts : null;
    }

    /// <summary>Where a global lies; null where the profile does not know it.</summary>
    public static VirtualAddress? AddressOf(KernelProfile profile, VirtualAddress kernelBase, KernelGlobal global) =>
        profile.RvaOf(global) is { } rva ? kernelBase + rva : null;

    /// <summary>
    /// Distances from KPCR to <c>KPRCB.KernelDirectoryTableBase</c>: those of all known builds first, each once, then every page of a KPCR. The field begins the page that the user's tables map, so that
    /// an unknown build has it at a page's start as well.
    /// </summary>
    public static IReadOnlyList<int> ShadowedTableOffsets(ProfileStore profiles)
    {
        var known = from prcb in profiles.OffsetsOf(KernelField.KPCR_Prcb)
                    from table in profiles.OffsetsOf(KernelField.KPRCB_KernelDirectoryTableBase)
                    select prcb + table;
        return [.. known.Concat(Enumerable.Range(1, MaxPcrPages).Select(static page => page * Page.Size)).Distinct()];
    }

    /// <summary>Pages of a KPCR with its KPRCB looked at: KDBG has its size in 16 bits.</summary>
    private const int MaxPcrPages = 16;

    /// <summary>Looks fields up and remembers what was not there.</summary>
    private sealed class Lookup(KernelProfile profile)
    {
        public List<string> Missing { get; } = [];

        public int? Maybe(KernelField field) => profile.OffsetOf(field);

        public int Need(KernelField field) => Need(profile.OffsetOf(field), field.ToString());

        public int Size(KernelStruct type) => Need(profile.SizeOf(type), type.ToString());

        /// <summary>Every build has it, and symbols must tell it; where a profile was deduced it may have stayed unknown.</summary>
        public int? Want(KernelField field) => profile.IsDeduced ? Maybe(field) : Need(field);

        public int? WantSize(KernelStruct type) => profile.IsDeduced ? profile.SizeOf(type) : Size(type);

        private int Need(int? value, string name)
        {
            if (value is { } known)
                return known;
            Missing.Add(name);
            return 0;
        }
    }

    private static ProcessLayout ProcessOf(Lookup of)
    {
        var layout = new ProcessLayout
        {
            KProcessSize = of.WantSize(KernelStruct.KPROCESS),
            HeaderType = of.Need(KernelField.DISPATCHER_HEADER_Type),
            HeaderWaitListHead = of.Need(KernelField.DISPATCHER_HEADER_WaitListHead),
            ProfileListHead = of.Want(KernelField.KPROCESS_ProfileListHead),
            DirectoryTableBase = of.Need(KernelField.KPROCESS_DirectoryTableBase),
            UserDirectoryTableBase = of.Maybe(KernelField.KPROCESS_UserDirectoryTableBase),
            KernelThreadListHead = of.Want(KernelField.KPROCESS_ThreadListHead),
            UniqueProcessId = of.Need(KernelField.EPROCESS_UniqueProcessId),
            ActiveProcessLinks = of.Need(KernelField.EPROCESS_ActiveProcessLinks),
            InheritedFromUniqueProcessId = of.Want(KernelField.EPROCESS_InheritedFromUniqueProcessId),
            ImageFileName = of.Need(KernelField.EPROCESS_ImageFileName),
            SeAuditImageFileName = of.Want(KernelField.EPROCESS_SeAuditProcessCreationInfo),
            Peb = of.Want(KernelField.EPROCESS_Peb),
            WoW64Process = of.Maybe(KernelField.EPROCESS_Wow64Process),
            Session = of.Maybe(KernelField.EPROCESS_Session),
            CreateTime = of.Want(KernelField.EPROCESS_CreateTime),
            ExitTime = of.Want(KernelField.EPROCESS_ExitTime),
            ActiveThreads = of.Want(KernelField.EPROCESS_ActiveThreads),
            ThreadListHead = of.Want(KernelField.EPROCESS_ThreadListHead),
            SessionId = of.Maybe(KernelField.MM_SESSION_SPACE_SessionId),
            PebSessionId = of.Maybe(KernelField.PEB_SessionId),
            PebProcessParameters = of.Need(KernelField.PEB_ProcessParameters),
            ParametersCommandLine = of.Need(KernelField.RTL_USER_PROCESS_PARAMETERS_CommandLine),
            Length = 0,
        };
        ReadOnlySpan<int> ends =
        [
            (layout.KernelThreadListHead ?? 0) + 16, layout.UserDirectoryTableBase ?? 0, layout.UniqueProcessId, layout.ActiveProcessLinks + 8, layout.InheritedFromUniqueProcessId ?? 0,
            layout.ImageFileName + 16, layout.SeAuditImageFileName ?? 0, layout.Peb ?? 0, layout.WoW64Process ?? 0, layout.Session ?? 0, layout.CreateTime ?? 0,
            layout.ExitTime ?? 0, layout.ActiveThreads ?? 0, (layout.ThreadListHead ?? 0) + 8,
        ];
        var end = 0;
        foreach (var field in ends)
            end = Math.Max(end, field + sizeof(ulong));
        return layout with { Length = end };
    }

    private static ThreadLayout ThreadOf(Lookup of) => new()
    {
        Process = of.Need(KernelField.KTHREAD_Process),
        AttachedProcess = of.Need(KernelField.KTHREAD_ApcState) + of.Need(KernelField.KAPC_STATE_Process),
        KernelThreadListEntry = of.Need(KernelField.KTHREAD_ThreadListEntry),
    };

    private static ProcessorLayout ProcessorOf(Lookup of) => new()
    {
        PcrSelf = of.Need(KernelField.KPCR_Self),
        PcrPrcb = of.Need(KernelField.KPCR_Prcb),
        Number = of.Need(KernelField.KPRCB_Number),
        CurrentThread = of.Need(KernelField.KPRCB_CurrentThread),
        ProcessorState = of.Want(KernelField.KPRCB_ProcessorState),
        StateSpecialRegisters = of.Want(KernelField.KPROCESSOR_STATE_SpecialRegisters),
        StateContextFrame = of.Want(KernelField.KPROCESSOR_STATE_ContextFrame),
        Context = of.Maybe(KernelField.KPRCB_Context),
    };

    private static DriverLayout DriverOf(Lookup of)
    {
        // Builds before 14393 have no public type for the kernel's entries; the loader's is alike up to its flags, and not behind them.
        var own = of.Maybe(KernelField.KLDR_DATA_TABLE_ENTRY_DllBase) is not null;
        var layout = new DriverLayout
        {
            InLoadOrderLinks = of.Need(own ? KernelField.KLDR_DATA_TABLE_ENTRY_InLoadOrderLinks : KernelField.LDR_DATA_TABLE_ENTRY_InLoadOrderLinks),
            DllBase = of.Need(own ? KernelField.KLDR_DATA_TABLE_ENTRY_DllBase : KernelField.LDR_DATA_TABLE_ENTRY_DllBase),
            EntryPoint = of.Need(own ? KernelField.KLDR_DATA_TABLE_ENTRY_EntryPoint : KernelField.LDR_DATA_TABLE_ENTRY_EntryPoint),
            SizeOfImage = of.Need(own ? KernelField.KLDR_DATA_TABLE_ENTRY_SizeOfImage : KernelField.LDR_DATA_TABLE_ENTRY_SizeOfImage),
            FullDllName = of.Need(own ? KernelField.KLDR_DATA_TABLE_ENTRY_FullDllName : KernelField.LDR_DATA_TABLE_ENTRY_FullDllName),
            BaseDllName = of.Need(own ? KernelField.KLDR_DATA_TABLE_ENTRY_BaseDllName : KernelField.LDR_DATA_TABLE_ENTRY_BaseDllName),
            TimeDateStamp = own ? of.Maybe(KernelField.KLDR_DATA_TABLE_ENTRY_TimeDateStamp) : null,
            Length = 0,
        };
        var end = Math.Max(Math.Max(layout.FullDllName, layout.BaseDllName) + UnicodeString.Size, (layout.TimeDateStamp ?? 0) + sizeof(uint));
        return layout with { Length = Math.Max(end, Math.Max(layout.EntryPoint, layout.DllBase) + sizeof(ulong)) };
    }

    private static SharedDataLayout SharedDataOf(Lookup of)
    {
        var xstate = of.Maybe(KernelField.KUSER_SHARED_DATA_XState);
        return new SharedDataLayout
        {
            InterruptTime = of.Need(KernelField.KUSER_SHARED_DATA_InterruptTime),
            SystemTime = of.Need(KernelField.KUSER_SHARED_DATA_SystemTime),
            TimeZoneBias = of.Need(KernelField.KUSER_SHARED_DATA_TimeZoneBias),
            NtSystemRoot = of.Need(KernelField.KUSER_SHARED_DATA_NtSystemRoot),
            NtMajorVersion = of.Need(KernelField.KUSER_SHARED_DATA_NtMajorVersion),
            NtMinorVersion = of.Need(KernelField.KUSER_SHARED_DATA_NtMinorVersion),
            NtBuildNumber = of.Maybe(KernelField.KUSER_SHARED_DATA_NtBuildNumber),
            NtProductType = of.Need(KernelField.KUSER_SHARED_DATA_NtProductType),
            SuiteMask = of.Need(KernelField.KUSER_SHARED_DATA_SuiteMask),
            BootId = of.Maybe(KernelField.KUSER_SHARED_DATA_BootId),
            NumberOfPhysicalPages = of.Need(KernelField.KUSER_SHARED_DATA_NumberOfPhysicalPages),
            KdDebuggerEnabled = of.Need(KernelField.KUSER_SHARED_DATA_KdDebuggerEnabled),
            XStateEnabledFeatures = xstate + of.Maybe(KernelField.XSTATE_CONFIGURATION_EnabledFeatures),
            XStateSize = xstate + of.Maybe(KernelField.XSTATE_CONFIGURATION_Size),
        };
    }

    private static PhysicalMemoryBlockLayout MemoryBlockOf(Lookup of) => new()
    {
        NumberOfRuns = of.Need(KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfRuns),
        NumberOfPages = of.Need(KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfPages),
        Run = of.Need(KernelField.PHYSICAL_MEMORY_DESCRIPTOR_Run),
        RunBasePage = of.Need(KernelField.PHYSICAL_MEMORY_RUN_BasePage),
        RunPageCount = of.Need(KernelField.PHYSICAL_MEMORY_RUN_PageCount),
        RunSize = of.Size(KernelStruct.PHYSICAL_MEMORY_RUN),
    };
}
