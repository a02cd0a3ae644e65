namespace Forengate.Lab.Tables;

/// <summary>
/// What a shuffle leaves where it is: layouts that a processor, a firmware, programs or drivers compiled long ago, or every debugger rely on, so that no Windows could move them. Only
/// structures private to the kernel move.
/// </summary>
internal static class FixedLayouts
{
    /// <summary>Whole structures, with the reason for each group.</summary>
    private static readonly (string Why, string[] Types)[] _types =
    [
        ("read by the processor", ["_KTSS64", "_KDESCRIPTOR"]),
        ("in the SDK or WDK, so compiled into programs and drivers", [
            "_LIST_ENTRY", "_SINGLE_LIST_ENTRY", "_UNICODE_STRING", "_LARGE_INTEGER", "_ULARGE_INTEGER", "_LUID", "_CLIENT_ID", "_KSYSTEM_TIME", "_TOKEN_SOURCE", "_RTL_BALANCED_NODE", "_RTL_AVL_TREE",
            "_DISPATCHER_HEADER", "_KAPC_STATE", "_CONTEXT", "_M128A", "_XSAVE_FORMAT", "_EXCEPTION_RECORD64", "_NT_TIB", "_PHYSICAL_MEMORY_DESCRIPTOR", "_PHYSICAL_MEMORY_RUN", "_QUAD", "_GUID",
        ]),
        ("the contract between kernel and user mode", [
            "_KUSER_SHARED_DATA", "_XSTATE_CONFIGURATION", "_XSTATE_FEATURE", "_PEB", "_PEB32", "_TEB", "_TEB32", "_RTL_USER_PROCESS_PARAMETERS", "_CURDIR", "_PEB_LDR_DATA", "_STRING",
        ]),
        ("in the debuggers' headers, or known to them by heart: nothing in memory tells them", [
            "_DBGKD_GET_VERSION64", "_KSPECIAL_REGISTERS", "_KLDR_DATA_TABLE_ENTRY", "_LDR_DATA_TABLE_ENTRY", "_KTRAP_FRAME",
        ]),
        ("at gs:[n] for drivers, and for the code behind every entry into the kernel", ["_KPCR"]),
        ("read and written whole by one instruction, with bits packed by hand", ["_HANDLE_TABLE_ENTRY", "_EX_FAST_REF", "_POOL_HEADER", "_EX_PUSH_LOCK", "_SLIST_HEADER", "_KSTACK_COUNT"]),
        // An _MMVAD, _MMVAD_SHORT and _MMADDRESS_NODE are one another's beginning; tables that carry only one of them cannot show it.
        ("the beginning of other structures too", ["_MMADDRESS_NODE", "_MMVAD_SHORT", "_MMVAD", "_MMVAD_LONG"]),
    ];

    /// <summary>Single fields of structures that move otherwise.</summary>
    private static readonly (string Why, string Type, string[] Fields)[] _fields =
    [
        ("one object is the beginning of the other: _KPROCESS, and in it the header that all waits use", "_EPROCESS", ["Pcb"]),
        ("the same", "_ETHREAD", ["Tcb"]),
        ("the same", "_KPROCESS", ["Header"]),
        ("the same", "_KTHREAD", ["Header"]),
        ("the object itself follows its header", "_OBJECT_HEADER", ["Body"]),
        ("gs:[n] in wdm.h's inlines and in the code behind every entry", "_KPRCB", ["MxCsr", "LegacyNumber", "CurrentThread", "NextThread", "RspBase"]),
        ("begins the page that KVA shadow's user tables map", "_KPRCB", ["KernelDirectoryTableBase", "RspBaseShadow", "UserRspShadow", "ShadowFlags"]),
    ];

    private static readonly HashSet<string> _fixedTypes = [.. _types.SelectMany(t => t.Types)];
    private static readonly HashSet<(string, string)> _fixedFields = [.. _fields.SelectMany(f => f.Fields.Select(name => (f.Type, name)))];

    public static bool Stays(string type) => _fixedTypes.Contains(type);

    public static bool Stays(string type, string field) => Stays(type) || _fixedFields.Contains((type, field));
}
