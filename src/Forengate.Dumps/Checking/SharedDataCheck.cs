using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Dumps;

/// <summary>KUSER_SHARED_DATA, from which a debugger takes how large register contexts are.</summary>
internal static class SharedDataCheck
{
    // KUSER_SHARED_DATA (ntddk.h): fixed for all versions, except that XState came forward, and its Size back, with Windows 8.
    private const int SystemTime = 0x14, NtSystemRoot = 0x30, NtMajorVersion = 0x26C, XState7 = 0x3E0, XStateSize7 = 0x08, XState = 0x3D8, XStateSize = 0x10, Needed = 0x3F0;
    private const uint Windows8 = 9200;

    /// <summary>x87 and SSE: the legacy area and its header make 576 bytes (Intel SDM vol. 1, 13.4).</summary>
    private const ulong LegacyFeatures = 3;
    private const uint LegacySize = 576;

    public static void Run(CrashDumpHeader64 header, AddressSpace space, CheckFindings findings)
    {
        Span<byte> data = stackalloc byte[Needed];
        if (!space.TryRead(DebuggerEye.SharedDataAddress, data))
        {
            findings.Error(CheckCode.SharedData, "KUSER_SHARED_DATA cannot be read: a debugger cannot tell the processor's extended state");
            return;
        }
        var root = data[NtSystemRoot..];
        if (root[2] != ':' || root[1] != 0 || root[3] != 0 || BinaryPrimitives.ReadUInt32LittleEndian(data[NtMajorVersion..]) is < 6 or > 20)
            findings.Warning(CheckCode.SharedData, "KUSER_SHARED_DATA does not look like Windows': no system root or version in it");
        var (at, sizeAt) = header.MinorVersion < Windows8 ? (XState7, XState7 + XStateSize7) : (XState, XState + XStateSize);
        var features = BinaryPrimitives.ReadUInt64LittleEndian(data[at..]);
        var size = BinaryPrimitives.ReadUInt32LittleEndian(data[sizeAt..]);
        if (features == 0)
            findings.Note(CheckCode.XState, "KUSER_SHARED_DATA.XState enables nothing: a debugger shows no extended registers");
        else if ((features & LegacyFeatures) != LegacyFeatures || size < LegacySize)
            findings.Warning(CheckCode.XState, $"KUSER_SHARED_DATA.XState is impossible: features 0x{features:x}, {size} bytes");
        var time = BinaryPrimitives.ReadUInt64LittleEndian(data[SystemTime..]);
        if (header.SystemTime is not (0 or CrashDumpHeader64.LongFiller) && time != 0 && Apart(time, header.SystemTime) > TimeSpan.TicksPerHour)
            findings.Note(CheckCode.HeaderValue, $"SystemTime differs from KUSER_SHARED_DATA's by {TimeSpan.FromTicks((long)Math.Min(Apart(time, header.SystemTime), (ulong)TimeSpan.MaxValue.Ticks)):c}");
    }

    private static ulong Apart(ulong a, ulong b) => a > b ? a - b : b - a;
}
