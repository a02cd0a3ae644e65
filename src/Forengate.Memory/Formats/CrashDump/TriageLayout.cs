namespace Forengate.Memory;

/// <summary>
/// What differs between the small dumps of 64- and 32-bit Windows: where <c>TRIAGE_DUMP64</c> and <c>TRIAGE_DUMP32</c> keep the fields behind TriageOptions, and how long the entries of their lists are.
/// Offsets in bytes. No public Windows header has the structures. 64 bits: as rizin's <c>dmp_specs.h</c> and Ghidra read them, confirmed on real small dumps. 32 bits: as the type records of
/// Microsoft's debugger in the Windows 10 kit have them (TRIAGE_DUMP32, DUMP_DRIVER_ENTRY32, DUMP_UNLOADED_DRIVERS32, KLDR_DATA_TABLE_ENTRY32), confirmed by the debugger engine.
/// </summary>
public sealed record TriageLayout
{
    /// <summary>Of 64-bit Windows.</summary>
    public static TriageLayout Of64 { get; } = new()
    {
        Start = CrashDumpLayout64.HeaderSize, Size = 0x80, PointerSize = sizeof(ulong),
        TopOfStack = 0x48, DataPage = 0x60, DebuggerData = 0x70, DataBlocks = 0x78,
        DriverEntrySize = 0x90, DriverBase = 0x38, DriverSize = 0x48, DriverTimeDateStamp = 0x88,
        UnloadedDriverSize = 0x38, UnloadedName = 0x10, UnloadedStart = 0x28,
    };

    /// <summary>Of 32-bit Windows.</summary>
    public static TriageLayout Of32 { get; } = new()
    {
        Start = CrashDumpLayout32.HeaderSize, Size = 0x68, PointerSize = sizeof(uint),
        TopOfStack = 0x48, DataPage = 0x4C, DebuggerData = 0x58, DataBlocks = 0x60,
        DriverEntrySize = 0x4C, DriverBase = 0x1C, DriverSize = 0x24, DriverTimeDateStamp = 0x48,
        UnloadedDriverSize = 0x28, UnloadedName = 0x08, UnloadedStart = 0x20,
    };

    /// <summary>Where the structure begins in the file: behind the dump's header.</summary>
    public required int Start { get; init; }

    /// <summary>Bytes of the structure up to and with its last field that is known here.</summary>
    public required int Size { get; init; }

    /// <summary>Bytes of a virtual address in the structure and its lists (that of data blocks has 64-bit ones in both), and of the count that the list of unloaded drivers begins with.</summary>
    public required int PointerSize { get; init; }

    public required int TopOfStack { get; init; }

    /// <summary>DataPageAddress; offset and size, 32 bits each, follow it.</summary>
    public required int DataPage { get; init; }

    /// <summary>DebuggerDataOffset; its size follows it.</summary>
    public required int DebuggerData { get; init; }

    /// <summary>DataBlocksOffset; their count follows it.</summary>
    public required int DataBlocks { get; init; }

    /// <summary>Bytes of one entry of the driver list: 32-bit offset of the name, then a KLDR_DATA_TABLE_ENTRY64 or 32, aligned.</summary>
    public required int DriverEntrySize { get; init; }

    /// <summary>DllBase within an entry.</summary>
    public required int DriverBase { get; init; }

    /// <summary>SizeOfImage within an entry.</summary>
    public required int DriverSize { get; init; }

    /// <summary>TimeDateStamp within an entry.</summary>
    public required int DriverTimeDateStamp { get; init; }

    /// <summary>Bytes of one entry of the list of unloaded drivers: UNICODE_STRING, 12 UTF-16 units of the name, start, end.</summary>
    public required int UnloadedDriverSize { get; init; }

    /// <summary>DriverName within an entry.</summary>
    public required int UnloadedName { get; init; }

    /// <summary>StartAddress within an entry; EndAddress follows it.</summary>
    public required int UnloadedStart { get; init; }
}
