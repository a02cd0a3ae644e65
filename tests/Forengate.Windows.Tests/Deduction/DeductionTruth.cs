using System.Text.Json;
using Forengate.Symbols;

namespace Forengate.Windows.Tests;

/// <summary>A deduced profile held against what the lab laid the twin out by.</summary>
internal sealed class DeductionTruth
{
    /// <summary>What the rooms Windows and Dumps ask of a kernel for dumps, processes, threads and drivers (all of KernelLayouts, and the globals).</summary>
    private static readonly KernelField[] s_fields =
    [
        KernelField.DISPATCHER_HEADER_Type, KernelField.DISPATCHER_HEADER_WaitListHead, KernelField.KPROCESS_ProfileListHead, KernelField.KPROCESS_DirectoryTableBase,
        KernelField.KPROCESS_UserDirectoryTableBase, KernelField.KPROCESS_ThreadListHead, KernelField.EPROCESS_UniqueProcessId, KernelField.EPROCESS_ActiveProcessLinks,
        KernelField.EPROCESS_InheritedFromUniqueProcessId, KernelField.EPROCESS_ImageFileName, KernelField.EPROCESS_SeAuditProcessCreationInfo, KernelField.EPROCESS_Peb,
        KernelField.EPROCESS_Wow64Process, KernelField.EPROCESS_Session, KernelField.EPROCESS_CreateTime, KernelField.EPROCESS_ExitTime, KernelField.EPROCESS_ActiveThreads,
        KernelField.EPROCESS_ThreadListHead, KernelField.MM_SESSION_SPACE_SessionId, KernelField.PEB_SessionId, KernelField.PEB_ProcessParameters,
        KernelField.RTL_USER_PROCESS_PARAMETERS_CommandLine, KernelField.KTHREAD_Process, KernelField.KTHREAD_ApcState, KernelField.KAPC_STATE_Process, KernelField.KTHREAD_ThreadListEntry,
        KernelField.KPCR_Self, KernelField.KPCR_Prcb, KernelField.KPRCB_Number, KernelField.KPRCB_CurrentThread, KernelField.KPRCB_ProcessorState,
        KernelField.KPROCESSOR_STATE_SpecialRegisters, KernelField.KPROCESSOR_STATE_ContextFrame, KernelField.KPRCB_Context,
        KernelField.KLDR_DATA_TABLE_ENTRY_InLoadOrderLinks, KernelField.KLDR_DATA_TABLE_ENTRY_DllBase, KernelField.KLDR_DATA_TABLE_ENTRY_EntryPoint,
        KernelField.KLDR_DATA_TABLE_ENTRY_SizeOfImage, KernelField.KLDR_DATA_TABLE_ENTRY_FullDllName, KernelField.KLDR_DATA_TABLE_ENTRY_BaseDllName,
        KernelField.KUSER_SHARED_DATA_InterruptTime, KernelField.KUSER_SHARED_DATA_SystemTime, KernelField.KUSER_SHARED_DATA_TimeZoneBias, KernelField.KUSER_SHARED_DATA_NtSystemRoot,
        KernelField.KUSER_SHARED_DATA_NtMajorVersion, KernelField.KUSER_SHARED_DATA_NtMinorVersion, KernelField.KUSER_SHARED_DATA_NtBuildNumber, KernelField.KUSER_SHARED_DATA_NtProductType,
        KernelField.KUSER_SHARED_DATA_SuiteMask, KernelField.KUSER_SHARED_DATA_BootId, KernelField.KUSER_SHARED_DATA_NumberOfPhysicalPages, KernelField.KUSER_SHARED_DATA_KdDebuggerEnabled,
        KernelField.KUSER_SHARED_DATA_XState, KernelField.XSTATE_CONFIGURATION_EnabledFeatures, KernelField.XSTATE_CONFIGURATION_Size,
        KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfRuns, KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfPages, KernelField.PHYSICAL_MEMORY_DESCRIPTOR_Run,
        KernelField.PHYSICAL_MEMORY_RUN_BasePage, KernelField.PHYSICAL_MEMORY_RUN_PageCount,
    ];

    private static readonly KernelGlobal[] s_globals =
    [
        KernelGlobal.PsInitialSystemProcess, KernelGlobal.PsActiveProcessHead, KernelGlobal.PsLoadedModuleList, KernelGlobal.KdDebuggerDataBlock, KernelGlobal.KdpDataBlockEncoded,
        KernelGlobal.KiWaitNever, KernelGlobal.KiWaitAlways, KernelGlobal.KdVersionBlock, KernelGlobal.KiProcessorBlock, KernelGlobal.KiBugCheckData, KernelGlobal.MmPhysicalMemoryBlock,
        KernelGlobal.NtBuildLab, KernelGlobal.NtBuildLabEx, KernelGlobal.NtBuildNumber, KernelGlobal.KeNumberProcessors, KernelGlobal.KiKvaShadow,
    ];

    private static readonly KernelStruct[] s_sizes = [KernelStruct.KPROCESS, KernelStruct.PHYSICAL_MEMORY_RUN];

    private DeductionTruth(List<string> wrong, List<string> missing, List<string> unjudged, int accepted, int needed, int found) =>
        (Wrong, Missing, Unjudged, Accepted, Needed, Found) = (wrong, missing, unjudged, accepted, needed, found);

    /// <summary>Accepted, and elsewhere in truth.</summary>
    public IReadOnlyList<string> Wrong { get; }

    /// <summary>Needed, there in truth, and not accepted.</summary>
    public IReadOnlyList<string> Missing { get; }

    /// <summary>Accepted, and not among what the truth tells.</summary>
    public IReadOnlyList<string> Unjudged { get; }

    public int Accepted { get; }

    public int Needed { get; }

    public int Found { get; }

    public double Recall => (double)Found / Needed;

    /// <param name="truth">The twin's truth.json.</param>
    /// <param name="real">The profile of the build it was made of, for what no shuffle moves and the lab never looks up.</param>
    /// <param name="profile">What was deduced.</param>
    public static DeductionTruth Judge(JsonElement truth, KernelProfile real, KernelProfile profile)
    {
        var (wrong, missing, unjudged, accepted, needed, found) = (new List<string>(), new List<string>(), new List<string>(), 0, 0, 0);
        void Take(string name, long? ours, long? theirs, bool isNeeded)
        {
            if (ours is not null)
                accepted++;
            if (ours is not null && theirs is null)
                unjudged.Add(name);
            else if (ours is not null && ours != theirs)
                wrong.Add($"{name} 0x{ours:x}, truth 0x{theirs:x}");
            if (!isNeeded || theirs is null)
                return;
            needed++;
            if (ours is not null && ours == theirs)
                found++;
            else
                missing.Add(name);
        }
        foreach (var field in Enum.GetValues<KernelField>())
            Take(KernelSchema.NameOf(field), profile.OffsetOf(field), FieldOf(truth, real, field), s_fields.Contains(field));
        foreach (var global in Enum.GetValues<KernelGlobal>())
            Take(global.ToString(), profile.RvaOf(global), GlobalOf(truth, global), s_globals.Contains(global));
        foreach (var type in Enum.GetValues<KernelStruct>())
            Take($"sizeof {type}", profile.SizeOf(type), SizeOf(truth, type), s_sizes.Contains(type));
        return new DeductionTruth(wrong, missing, unjudged, accepted, needed, found);
    }

    private static long? FieldOf(JsonElement truth, KernelProfile real, KernelField field)
    {
        var row = KernelSchema.Fields[(int)field];
        foreach (var type in KernelSchema.Structs[(int)row.Struct].Split('|'))
        {
            foreach (var path in row.Name.Split('|'))
            {
                if (OffsetOf(truth, type, path) is { } offset)
                    return offset;
            }
        }
        // Public layouts stay where they are under a shuffle, and are in the real profile though the lab may not have looked them up.
        return row.Struct is KernelStruct.EPROCESS or KernelStruct.KPROCESS or KernelStruct.ETHREAD or KernelStruct.KTHREAD or KernelStruct.KPRCB or KernelStruct.MM_SESSION_SPACE ? null
            : real.OffsetOf(field) ?? (row.Struct is KernelStruct.KLDR_DATA_TABLE_ENTRY && Enum.TryParse<KernelField>(field.ToString()[1..], out var loaders) ? real.OffsetOf(loaders) : null);
    }

    private static long? OffsetOf(JsonElement truth, string type, string path)
    {
        var sum = 0L;
        var at = type;
        foreach (var name in path.Split('.'))
        {
            if (at is null || !truth.GetProperty("layouts").TryGetProperty(at, out var layout) || !layout.GetProperty("fields").TryGetProperty(name, out var field))
                return null;
            sum += (long)TwinImage.Hex(field.GetProperty("offset"));
            at = field.TryGetProperty("type", out var next) ? next.GetString() : null;
        }
        return sum;
    }

    private static long? GlobalOf(JsonElement truth, KernelGlobal global) =>
        truth.GetProperty("symbols").TryGetProperty(KernelSchema.Globals[(int)global], out var rva) ? (long)TwinImage.Hex(rva) : null;

    private static long? SizeOf(JsonElement truth, KernelStruct type)
    {
        foreach (var name in KernelSchema.Structs[(int)type].Split('|'))
        {
            if (truth.GetProperty("layouts").TryGetProperty(name, out var layout))
                return (long)TwinImage.Hex(layout.GetProperty("size"));
        }
        return null;
    }
}
