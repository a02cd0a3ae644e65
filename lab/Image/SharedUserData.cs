using System.Text;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>KUSER_SHARED_DATA: one page that kernel and every process see. Values as GetVersionEx, GetTickCount and the debugger read them.</summary>
internal sealed class SharedUserData
{
    // winnt.h: XSTATE_LEGACY_FLOATING_POINT, XSTATE_LEGACY_SSE, XSTATE_GSSE; offsets and sizes of the XSAVE area are the Intel SDM's (vol. 1, 13.4).
    private const ulong XStateMask = 7;
    private const uint XSaveSize = 576 + 256;

    public required ulong Page { get; init; }
    public required uint BootId { get; init; }
    public required uint Cookie { get; init; }
    public required uint ProductType { get; init; }
    public required uint SuiteMask { get; init; }
    public required ulong Pages { get; init; }

    /// <summary>Places the page and maps it at its kernel address.</summary>
    public static SharedUserData Create(KernelTables tables, AddressSpace space, SeededRandom random, ulong pages, int cpus, bool debugger)
    {
        var build = tables.Build;
        var server = build.Build is 14393 or 17763 or 20348;
        var data = new SharedUserData
        {
            Page = space.Memory.AllocatePage(),
            BootId = 3 + (uint)random.Next(90),
            Cookie = (uint)random.Next(),
            // winnt.h: VER_NT_WORKSTATION 1, VER_NT_SERVER 3; VER_SUITE_TERMINAL 0x10, VER_SUITE_SINGLEUSERTS 0x100.
            ProductType = server ? 3U : 1U,
            SuiteMask = server ? 0x10U | 0x100U : 0x100U,
            Pages = pages,
        };
        space.Map(KernelLayout.SharedUserData, data.Page, Pte.KernelData);
        var at = new StructWriter(tables, "_KUSER_SHARED_DATA", KernelLayout.SharedUserData);
        Time(at, "InterruptTime", TwinClock.Interrupt);
        Time(at, "SystemTime", TwinClock.Now);
        Time(at, "TimeZoneBias", 0);
        // A tick is 15.625 ms: 0x0FA00000 / 2^24.
        var ticks = TwinClock.Interrupt / 156250;
        Time(at, "TickCount", ticks);
        at.Set("TickCountMultiplier", 0x0FA0_0000);
        at.Set("ImageNumberLow", 0x8664).Set("ImageNumberHigh", 0x8664);
        at.SetBytes("NtSystemRoot", Encoding.Unicode.GetBytes(@"C:\Windows"));
        at.Set("LargePageMinimum", 0x200000);
        at.SetWhere("NtBuildNumber", (ulong)build.Build);
        at.Set("NtProductType", data.ProductType).Set("ProductTypeIsValid", 1);
        at.SetWhere("NativeProcessorArchitecture", 9);
        at.Set("NtMajorVersion", (ulong)build.Major).Set("NtMinorVersion", (ulong)build.Minor);
        // winnt.h PF_*: compare-exchange, MMX, RDTSC, PAE, SSE2, NX, CMPXCHG16B, XSAVE, 3 = MMX_INSTRUCTIONS …
        foreach (var feature in new[] { 2, 3, 6, 8, 9, 10, 12, 13, 14, 17, 23 })
            at.Set($"ProcessorFeatures[{feature}]", 1);
        at.SetWhere("BootId", data.BootId);
        at.Set("SuiteMask", data.SuiteMask);
        at.Set("KdDebuggerEnabled", debugger ? 3UL : 0);
        at.Set("ActiveConsoleId", 1);
        at.Set("NumberOfPhysicalPages", pages);
        at.Set("Cookie", data.Cookie);
        at.SetWhere("QpcFrequency", 10_000_000);
        at.SetWhere("ActiveProcessorCount", (ulong)cpus);
        at.SetWhere("ActiveGroupCount", 1);
        at.SetWhere("UnparkedProcessorCount", (ulong)cpus);
        at.SetWhere("TestRetInstruction", 0xC3);
        XState(at);
        at.Store(space);
        return data;
    }

    private static void XState(StructWriter at)
    {
        at.Set("XState.EnabledFeatures", XStateMask);
        at.SetWhere("XState.EnabledVolatileFeatures", XStateMask);
        at.Set("XState.Size", XSaveSize);
        at.Set("XState.Features[0].Offset", 0).Set("XState.Features[0].Size", 160);
        at.Set("XState.Features[1].Offset", 160).Set("XState.Features[1].Size", 256);
        at.Set("XState.Features[2].Offset", 576).Set("XState.Features[2].Size", 256);
        at.SetWhere("XState.AllFeatureSize", XSaveSize);
        at.SetWhere("XState.AllFeatures[0]", 160);
        at.SetWhere("XState.AllFeatures[1]", 256);
        at.SetWhere("XState.AllFeatures[2]", 256);
    }

    /// <summary>A KSYSTEM_TIME: low part, high part, and the high part again, which a reader compares.</summary>
    private static void Time(StructWriter at, string field, ulong value)
    {
        at.Set(field + ".LowPart", (uint)value).Set(field + ".High1Time", value >> 32).Set(field + ".High2Time", value >> 32);
    }
}
