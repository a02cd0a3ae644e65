using System.Buffers.Binary;
using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>
/// Layouts that no Windows can move, because programs, drivers and debuggers outside of it are compiled with them. They are starting points, not truths: each is checked on this memory before it is
/// accepted. Offsets in bytes; the header that declares them is named with each.
/// </summary>
internal static class PublicLayouts
{
    // DISPATCHER_HEADER (wdm.h).
    public const int HeaderType = 0;
    public const int HeaderSize = 2;
    public const int HeaderSignalState = 4;
    public const int HeaderWaitListHead = 8;

    // KAPC_STATE (ntifs.h): two lists, then the process.
    public const int ApcStateProcess = 0x20;

    // KPCR (ntddk.h, amd64).
    public const int PcrGdtBase = 0x00;
    public const int PcrSelf = 0x18;
    public const int PcrCurrentPrcb = 0x20;
    public const int PcrIdtBase = 0x38;
    public const int PcrPrcb = 0x180;

    /// <summary>gs:[188h], KPRCB.CurrentThread (wdm.h: KeGetCurrentThread).</summary>
    public const int PrcbCurrentThread = 8;

    // KSPECIAL_REGISTERS and CONTEXT (ntddk.h, winnt.h).
    public const int SpecialCr0 = 0x00;
    public const int SpecialCr3 = 0x10;
    public const int SpecialGdtrBase = 0x58;
    public const int SpecialIdtrBase = 0x68;
    public const int SpecialGsBase = 0xA8;
    public const int ContextFlags = 0x30;
    public const int ContextLength = 0x4D0;
    public const uint ContextAmd64 = 0x0010_0000;

    // PEB and RTL_USER_PROCESS_PARAMETERS (winternl.h, and every debugger of 64-bit programs).
    public const int PebImageBase = 0x10;
    public const int PebParameters = 0x20;
    public const int PebMajorVersion = 0x118;
    public const int PebBuildNumber = 0x120;
    public const int PebSessionId = 0x2C0;
    public const int ParametersImagePath = 0x60;
    public const int ParametersCommandLine = 0x70;

    // PEB of a 32-bit program.
    public const int Peb32MajorVersion = 0xA4;
    public const int Peb32BuildNumber = 0xAC;

    // (K)LDR_DATA_TABLE_ENTRY up to its names (winternl.h).
    public const int DllBase = 0x30;
    public const int EntryPoint = 0x38;
    public const int SizeOfImage = 0x40;
    public const int FullDllName = 0x48;
    public const int BaseDllName = 0x58;

    // KUSER_SHARED_DATA (ntddk.h).
    private const int InterruptTime = 0x08;
    private const int SystemTime = 0x14;
    private const int TimeZoneBias = 0x20;
    private const int NtSystemRoot = 0x30;
    private const int NtBuildNumber = 0x260;
    private const int NtProductType = 0x264;
    private const int NtMajorVersion = 0x26C;
    private const int NtMinorVersion = 0x270;
    private const int BootId = 0x2C4;
    private const int SuiteMask = 0x2D0;
    private const int KdDebuggerEnabled = 0x2D4;
    private const int NumberOfPhysicalPages = 0x2E8;

    // XSTATE_CONFIGURATION: to 7601 features, then size; from 8 on, eight bytes earlier, features, those of them that are volatile, then size.
    private const int XStateBefore8 = 0x3E0;
    private const int XState = 0x3D8;
    private const int XStateVolatile = 8;
    private const int XStateSizeBefore8 = 8;
    private const int XStateSize = 0x10;

    /// <summary>x87 and SSE: what every system enables.</summary>
    private const ulong MinFeatures = 3;

    /// <summary>What an XSAVE area holds at least: legacy area and header (Intel SDM vol. 1, 13.4).</summary>
    private const uint MinXStateSize = 576;
    private const uint MaxXStateSize = 0x10000;

    /// <summary>The first build of Windows 10, whose shared page says its build; and the first that says its boot.</summary>
    private const uint BuildInSharedPage = 10240;

    private const ulong FirstYear = 0x01C0_0000_0000_0000;

    /// <summary>PHYSICAL_MEMORY_DESCRIPTOR: number of runs, number of pages, runs of first page and page count (as debuggers and crash dump headers have it).</summary>
    public static PhysicalMemoryBlockLayout MemoryBlock { get; } = new()
    {
        NumberOfRuns = 0,
        NumberOfPages = 8,
        Run = 0x10,
        RunBasePage = 0,
        RunPageCount = 8,
        RunSize = 0x10,
    };

    /// <summary>Accepts the shared page's fields where the page holds what they mean.</summary>
    /// <returns>The times and version it tells; null where it is not believed.</returns>
    public static SharedFacts? TakeSharedData(AddressSpace space, DeductionLedger ledger)
    {
        var page = new byte[Page.Size];
        if (!space.TryRead(SharedUserDataReader.Address, page))
            return null;
        uint Dword(int at) => BinaryPrimitives.ReadUInt32LittleEndian(page.AsSpan(at));
        ulong Qword(int at) => BinaryPrimitives.ReadUInt64LittleEndian(page.AsSpan(at));
        var root = UnicodeString.Text(page.AsSpan(NtSystemRoot, 520));
        var facts = new SharedFacts(Qword(SystemTime), Qword(InterruptTime), Dword(NtMajorVersion), Dword(NtMinorVersion), root);
        if (root.Length < 4 || root[1] != ':' || facts.Major is < 6 or > 20 || facts.SystemTime < FirstYear || facts.SystemTime < facts.InterruptTime || Dword(NtProductType) is 0 or > 3)
        {
            ledger.Refuse(KernelField.KUSER_SHARED_DATA_SystemTime, "the shared page holds no version, system root, product type and times where ntddk.h declares them");
            return null;
        }
        var how = $"ntddk.h; the page holds version {facts.Major}.{facts.Minor}, \"{root}\", a product type and times that fit";
        foreach (var (field, offset) in (ReadOnlySpan<(KernelField, int)>)
        [
            (KernelField.KUSER_SHARED_DATA_InterruptTime, InterruptTime), (KernelField.KUSER_SHARED_DATA_SystemTime, SystemTime), (KernelField.KUSER_SHARED_DATA_TimeZoneBias, TimeZoneBias),
            (KernelField.KUSER_SHARED_DATA_NtSystemRoot, NtSystemRoot), (KernelField.KUSER_SHARED_DATA_NtProductType, NtProductType),
            (KernelField.KUSER_SHARED_DATA_NtMajorVersion, NtMajorVersion), (KernelField.KUSER_SHARED_DATA_NtMinorVersion, NtMinorVersion),
            (KernelField.KUSER_SHARED_DATA_SuiteMask, SuiteMask), (KernelField.KUSER_SHARED_DATA_NumberOfPhysicalPages, NumberOfPhysicalPages),
            (KernelField.KUSER_SHARED_DATA_KdDebuggerEnabled, KdDebuggerEnabled),
        ])
            ledger.Accept(field, offset, how);
        var build = ledger.AddressOf(KernelGlobal.NtBuildNumber) is { } number && space.TryRead(number, out uint raw) ? raw & 0xFFFF : 0;
        if (build >= BuildInSharedPage && Dword(NtBuildNumber) == build)
            ledger.Accept(KernelField.KUSER_SHARED_DATA_NtBuildNumber, NtBuildNumber, "ntddk.h; it equals NtBuildNumber");
        // Earlier builds have other counters here, or nothing.
        if (build >= 14393 && Dword(BootId) is > 0 and < 0x10_0000)
            ledger.Accept(KernelField.KUSER_SHARED_DATA_BootId, BootId, "ntddk.h of 14393 and later; a small number of boots is there");
        TakeXState(page, ledger);
        return facts;
    }

    private static void TakeXState(byte[] page, DeductionLedger ledger)
    {
        ulong Features(int at) => BinaryPrimitives.ReadUInt64LittleEndian(page.AsSpan(at));
        bool Fits(int at, int size) => (Features(at) & MinFeatures) == MinFeatures && Features(at) >> 63 == 0
            && BinaryPrimitives.ReadUInt32LittleEndian(page.AsSpan(at + size)) is >= MinXStateSize and <= MaxXStateSize;
        // The volatile features are some of the enabled ones, so the later form may look like the earlier one, but not the other way round: before it lay addresses of whole pages.
        var later = Fits(XState, XStateSize) && (Features(XState + XStateVolatile) & ~Features(XState)) == 0;
        if (!later && !Fits(XStateBefore8, XStateSizeBefore8))
        {
            ledger.Refuse(KernelField.KUSER_SHARED_DATA_XState, "neither of its two places holds features with x87 and SSE and a size");
            return;
        }
        var how = $"ntddk.h {(later ? "from 8 on" : "to 7")}: x87 and SSE are enabled there, {(later ? "the volatile features are among the enabled ones, " : "")}and the size is one that an XSAVE area can have";
        ledger.Accept(KernelField.KUSER_SHARED_DATA_XState, later ? XState : XStateBefore8, how);
        ledger.Accept(KernelField.XSTATE_CONFIGURATION_EnabledFeatures, 0, how);
        ledger.Accept(KernelField.XSTATE_CONFIGURATION_Size, later ? XStateSize : XStateSizeBefore8, how);
    }

    /// <summary>Accepts the memory block's layout where the block at the global parses by it.</summary>
    public static void TakeMemoryBlock(AddressSpace space, DeductionLedger ledger, WindowsLimits limits)
    {
        if (ledger.AddressOf(KernelGlobal.MmPhysicalMemoryBlock) is not { } pointer)
            return;
        if (PhysicalMemoryBlockReader.Read(space, pointer, MemoryBlock, limits, out var reason) is not { } runs)
        {
            ledger.Refuse(KernelField.PHYSICAL_MEMORY_DESCRIPTOR_Run, reason);
            return;
        }
        var how = $"as in crash dump headers; its {runs.Count} runs ascend and sum up to its number of pages";
        ledger.Accept(KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfRuns, MemoryBlock.NumberOfRuns, how);
        ledger.Accept(KernelField.PHYSICAL_MEMORY_DESCRIPTOR_NumberOfPages, MemoryBlock.NumberOfPages, how);
        ledger.Accept(KernelField.PHYSICAL_MEMORY_DESCRIPTOR_Run, MemoryBlock.Run, how);
        ledger.Accept(KernelField.PHYSICAL_MEMORY_RUN_BasePage, MemoryBlock.RunBasePage, how);
        ledger.Accept(KernelField.PHYSICAL_MEMORY_RUN_PageCount, MemoryBlock.RunPageCount, how);
        ledger.Accept(KernelStruct.PHYSICAL_MEMORY_RUN, MemoryBlock.RunSize, how);
    }
}

/// <summary>What the shared page says.</summary>
/// <param name="SystemTime">100 ns since 1601.</param>
/// <param name="InterruptTime">100 ns since boot.</param>
/// <param name="Major">Windows' major version.</param>
/// <param name="Minor">Its minor version.</param>
/// <param name="Root">The system root: <c>C:\Windows</c>.</param>
internal readonly record struct SharedFacts(ulong SystemTime, ulong InterruptTime, uint Major, uint Minor, string Root)
{
    public ulong BootTime => SystemTime - InterruptTime;
}
