namespace Forengate.Symbols;

/// <summary>
/// What a kernel profile holds, declared once: the pack builder fills these columns from full type tables, and the rooms to the right ask by the enum members.
/// Names are Microsoft's; where builds differ, the names are tried in order ("FIRST|SECOND"). A field may lie deeper: "Pcb.DirectoryTableBase", its enum member says Pcb_DirectoryTableBase.
/// </summary>
/// <remarks>Adding a row means adding the enum member and the name at the end of each, and making the carried pack anew; readers match columns by name, so old packs stay readable.</remarks>
public static class KernelSchema
{
    /// <summary>Structures whose size is kept, in the order of <see cref="KernelStruct"/>.</summary>
    public static ReadOnlySpan<string> Structs => StructNames;

    /// <summary>Fields whose offset is kept, in the order of <see cref="KernelField"/>.</summary>
    public static ReadOnlySpan<KernelFieldName> Fields => FieldNames;

    /// <summary>Globals whose address is kept, in the order of <see cref="KernelGlobal"/>: the member's name is the symbol's.</summary>
    public static ReadOnlySpan<string> Globals => GlobalNames;

    /// <summary>
    /// What the name tables of a pack with these very columns sum up to: by it the carried pack is known without comparing names. A wrong one only costs time; a test says the right one.
    /// </summary>
    internal const ulong NamesDigest = 0x34B9EDFC308FEB04;

    private static readonly string[] StructNames =
    [
        "_DISPATCHER_HEADER", "_LIST_ENTRY", "_UNICODE_STRING", "_KPROCESS", "_EPROCESS", "_EWOW64PROCESS", "_KTHREAD", "_KAPC_STATE", "_ETHREAD",
        "_CLIENT_ID", "_KPCR", "_KPRCB", "_KPROCESSOR_STATE", "_KSPECIAL_REGISTERS", "_KDESCRIPTOR", "_CONTEXT", "_KTRAP_FRAME", "_KTSS64", "_KIDTENTRY64",
        "_KUSER_SHARED_DATA", "_XSTATE_CONFIGURATION", "_KSYSTEM_TIME", "_PEB", "_PEB32", "_PEB_LDR_DATA", "_RTL_USER_PROCESS_PARAMETERS", "_CURDIR",
        "_LDR_DATA_TABLE_ENTRY", "_KLDR_DATA_TABLE_ENTRY|_LDR_DATA_TABLE_ENTRY", "_TEB", "_NT_TIB", "_SE_AUDIT_PROCESS_CREATION_INFO",
        "_OBJECT_NAME_INFORMATION", "_OBJECT_HEADER", "_OBJECT_HEADER_NAME_INFO", "_OBJECT_HEADER_CREATOR_INFO", "_OBJECT_TYPE", "_OBJECT_DIRECTORY",
        "_OBJECT_DIRECTORY_ENTRY", "_HANDLE_TABLE", "_HANDLE_TABLE_ENTRY", "_EX_FAST_REF", "_TOKEN", "_SEP_TOKEN_PRIVILEGES", "_SID_AND_ATTRIBUTES", "_SID",
        "_EJOB", "_MM_SESSION_SPACE", "_MMVAD_SHORT", "_MMVAD", "_MMVAD_FLAGS", "_RTL_AVL_TREE", "_RTL_BALANCED_NODE", "_MM_AVL_TABLE", "_SUBSECTION",
        "_CONTROL_AREA", "_SEGMENT", "_SECTION", "_FILE_OBJECT", "_SECTION_OBJECT_POINTERS", "_DRIVER_OBJECT", "_DRIVER_EXTENSION", "_DEVICE_OBJECT",
        "_DEVICE_NODE", "_IRP", "_IO_STACK_LOCATION", "_KTIMER", "_KDPC", "_KMUTANT", "_POOL_HEADER", "_POOL_TRACKER_TABLE", "_POOL_TRACKER_BIG_PAGES",
        "_MMPFN", "_MMPTE_HARDWARE", "_MMPTE_TRANSITION", "_MMPTE_PROTOTYPE", "_MMPTE_SOFTWARE", "_MMPTE_SUBSECTION", "_MMPAGING_FILE",
        "_PHYSICAL_MEMORY_DESCRIPTOR", "_PHYSICAL_MEMORY_RUN", "_CMHIVE", "_HHIVE", "_DUAL", "_HMAP_DIRECTORY", "_HMAP_TABLE", "_HMAP_ENTRY",
        "_HBASE_BLOCK", "_HBIN", "_CM_KEY_NODE", "_CM_KEY_VALUE", "_CM_KEY_INDEX", "_CM_KEY_CONTROL_BLOCK", "_CM_NAME_CONTROL_BLOCK", "_CM_KEY_BODY",
        "_KWAIT_BLOCK", "_KNODE", "_WORK_QUEUE_ITEM", "_ALPC_PORT", "_SHARED_CACHE_MAP", "_VACB", "_MI_SYSTEM_INFORMATION", "_EXCEPTION_RECORD",
        "_DBGKD_GET_VERSION64", "_SINGLE_LIST_ENTRY", "_STRING", "_LARGE_INTEGER", "_LUID", "_EX_RUNDOWN_REF", "_EX_PUSH_LOCK", "_MMADDRESS_NODE",
        "_RTL_BITMAP", "_KAFFINITY_EX", "_GROUP_AFFINITY", "_PROCESSOR_NUMBER", "_PS_PROTECTION", "_KTHREAD_COUNTERS", "_KAPC", "_INVERTED_FUNCTION_TABLE",
        "_INVERTED_FUNCTION_TABLE_ENTRY", "_EPARTITION", "_XSAVE_FORMAT", "_XSAVE_AREA_HEADER", "_XSAVE_AREA", "_KEXCEPTION_FRAME", "_KGDTENTRY64",
        "_KINTERRUPT", "_KTIMER2", "_KTIMER_TABLE", "_KTIMER_TABLE_ENTRY", "_ETIMER", "_KDPC_DATA", "_KEVENT", "_KQUEUE", "_KPRIQUEUE", "_XSTATE_FEATURE",
        "_DUMP_STACK_CONTEXT", "_LOADER_PARAMETER_BLOCK", "_MEMORY_ALLOCATION_DESCRIPTOR", "_TEB32", "_DEVOBJ_EXTENSION", "_VPB", "_MDL",
        "_OBJECT_HEADER_HANDLE_INFO", "_OBJECT_HEADER_QUOTA_INFO", "_OBJECT_HEADER_PROCESS_INFO", "_OBJECT_HEADER_AUDIT_INFO",
        "_OBJECT_HEADER_EXTENDED_INFO", "_OBJECT_HANDLE_COUNT_ENTRY", "_OBJECT_TYPE_INITIALIZER", "_OBJECT_SYMBOLIC_LINK", "_DEVICE_MAP",
        "_HANDLE_TABLE_FREE_LIST", "_SID_AND_ATTRIBUTES_HASH", "_SEP_LOGON_SESSION_REFERENCES", "_SECURITY_DESCRIPTOR", "_SECURITY_DESCRIPTOR_RELATIVE",
        "_ACL", "_ALPC_COMMUNICATION_INFO", "_HCELL", "_HVP_VIEW_MAP", "_CM_VIEW_OF_FILE", "_CM_BIG_DATA", "_CM_KEY_SECURITY", "_CHILD_LIST",
        "_CM_KEY_REFERENCE", "_CM_KEY_HASH", "_CM_KEY_HASH_TABLE_ENTRY", "_CM_KEY_SECURITY_CACHE", "_CM_KEY_SECURITY_CACHE_ENTRY", "_CM_KCB_LAYER_INFO",
        "_CM_NOTIFY_BLOCK", "_HIVE_LIST_ENTRY", "_MMVAD_FLAGS1", "_MMVAD_FLAGS2", "_MMPTE", "_MMPTE_LIST", "_MMPTE_TIMESTAMP",
        "_MMSUPPORT|_MMSUPPORT_INSTANCE", "_MMSUPPORT_FULL", "_MI_PARTITION", "_MI_SYSTEM_NODE_INFORMATION", "_SECTION_OBJECT", "_SEGMENT_OBJECT",
        "_MSUBSECTION", "_SECTION_IMAGE_INFORMATION", "_VACB_ARRAY_HEADER", "_PRIVATE_CACHE_MAP", "_POOL_DESCRIPTOR", "_EX_POOL_HEAP_MANAGER_STATE",
        "_EX_HEAP_POOL_NODE", "_RTLP_HP_HEAP_MANAGER", "_RTLP_HP_HEAP_GLOBALS", "_SEGMENT_HEAP", "_HEAP_SEG_CONTEXT", "_HEAP_PAGE_SEGMENT",
        "_HEAP_PAGE_RANGE_DESCRIPTOR", "_HEAP_VS_CONTEXT", "_HEAP_VS_SUBSEGMENT", "_HEAP_VS_CHUNK_HEADER", "_HEAP_LFH_CONTEXT", "_HEAP_LFH_BUCKET",
        "_HEAP_LFH_AFFINITY_SLOT", "_HEAP_LFH_SUBSEGMENT", "_HEAP_LFH_SUBSEGMENT_OWNER", "_HEAP_LFH_SUBSEGMENT_ENCODED_OFFSETS", "_HEAP_LARGE_ALLOC_DATA",
        "_WMI_LOGGER_CONTEXT", "_ETW_SILODRIVERSTATE", "_ETW_GUID_ENTRY", "_ETW_REG_ENTRY", "_ETW_HASH_BUCKET",
    ];

    private static readonly KernelFieldName[] FieldNames = KernelFieldTable.Read(StructNames);

    // The member's name is the public symbol, but for what C++ decorated.
    private static readonly string[] GlobalNames =
        [.. Enum.GetNames<KernelGlobal>().Select(name => name == nameof(KernelGlobal.SmGlobals) ? "?SmGlobals@@3U_SM_GLOBALS@@A" : name)];

    /// <summary>A structure by a name of its type (<c>_EPROCESS</c>, <c>EPROCESS</c>); null where the schema has none. For people's questions: code uses the enum.</summary>
    public static KernelStruct? FindStruct(string name)
    {
        var type = name.StartsWith('_') ? name : $"_{name}";
        // A type's own row before the rows that only fall back on it.
        for (var i = 0; i < StructNames.Length; i++)
        {
            if (First(StructNames[i]).SequenceEqual(type))
                return (KernelStruct)i;
        }
        for (var i = 0; i < StructNames.Length; i++)
        {
            if (HasName(StructNames[i], type))
                return (KernelStruct)i;
        }
        return null;
    }

    /// <summary>A field by type and member path (<c>_EPROCESS.Pcb.DirectoryTableBase</c>); null where the schema has none. For people's questions: code uses the enum.</summary>
    public static KernelField? FindField(string name)
    {
        var dot = name.IndexOf('.', StringComparison.Ordinal);
        if (dot < 0 || FindStruct(name[..dot]) is not { } owner)
            return null;
        for (var i = 0; i < FieldNames.Length; i++)
        {
            if (FieldNames[i].Struct == owner && HasName(FieldNames[i].Name, name.AsSpan(dot + 1)))
                return (KernelField)i;
        }
        return null;
    }

    /// <summary>A global by its symbol; null where the schema has none. For people's questions: code uses the enum.</summary>
    public static KernelGlobal? FindGlobal(string name)
    {
        for (var i = 0; i < GlobalNames.Length; i++)
        {
            if (GlobalNames[i] == name || ((KernelGlobal)i).ToString() == name)
                return (KernelGlobal)i;
        }
        return null;
    }

    /// <summary>Microsoft's name of a field: <c>_EPROCESS.Wow64Process</c>.</summary>
    public static string NameOf(KernelField field) => $"{First(StructNames[(int)FieldNames[(int)field].Struct])}.{First(FieldNames[(int)field].Name)}";

    private static ReadOnlySpan<char> First(string names) => names.IndexOf('|', StringComparison.Ordinal) is var bar and >= 0 ? names.AsSpan(0, bar) : names;

    private static bool HasName(string names, ReadOnlySpan<char> name)
    {
        foreach (var range in names.AsSpan().Split('|'))
        {
            if (names.AsSpan()[range].SequenceEqual(name))
                return true;
        }
        return false;
    }
}

/// <summary>A field by the structure it belongs to and its names.</summary>
/// <param name="Struct">The structure.</param>
/// <param name="Name">Microsoft's name; alternatives behind "|".</param>
public readonly record struct KernelFieldName(KernelStruct Struct, string Name);
