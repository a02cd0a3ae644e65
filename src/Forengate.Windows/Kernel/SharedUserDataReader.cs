using System.Buffers.Binary;
using Forengate.Memory;

namespace Forengate.Windows;

/// <summary>Reads <c>KUSER_SHARED_DATA</c>, the one page Windows keeps at the same place in every kernel.</summary>
internal static class SharedUserDataReader
{
    /// <summary>Kernel address of the page on every x64 Windows (<c>KI_USER_SHARED_DATA</c>, ntddk.h).</summary>
    public static readonly VirtualAddress Address = new(0xFFFF_F780_0000_0000);

    /// <summary>Where a kernel of this address space keeps the page.</summary>
    public static VirtualAddress AddressIn(AddressSpace space) => space.Levels < 4 ? X86Pointers.SharedData : Address;

    /// <summary>Bytes of NtSystemRoot: 260 characters (ntddk.h).</summary>
    private const int SystemRootLength = 520;

    public static SharedUserData? Read(AddressSpace space, SharedDataLayout layout)
    {
        Span<byte> page = stackalloc byte[Page.Size];
        if (!space.TryRead(AddressIn(space), page))
            return null;
        return new SharedUserData
        {
            SystemTime = Time(page, layout.SystemTime),
            InterruptTime = Time(page, layout.InterruptTime),
            TimeZoneBias = (long)Time(page, layout.TimeZoneBias),
            NtMajorVersion = Dword(page, layout.NtMajorVersion),
            NtMinorVersion = Dword(page, layout.NtMinorVersion),
            NtBuildNumber = layout.NtBuildNumber is { } build ? Dword(page, build) : null,
            NtProductType = Dword(page, layout.NtProductType),
            SuiteMask = Dword(page, layout.SuiteMask),
            BootId = layout.BootId is { } boot ? Dword(page, boot) : null,
            NtSystemRoot = UnicodeString.Text(page.Slice(layout.NtSystemRoot, SystemRootLength)),
            NumberOfPhysicalPages = Dword(page, layout.NumberOfPhysicalPages),
            KdDebuggerEnabled = page[layout.KdDebuggerEnabled],
            XStateEnabledFeatures = layout.XStateEnabledFeatures is { } features ? BinaryPrimitives.ReadUInt64LittleEndian(page[features..]) : null,
            XStateSize = layout.XStateSize is { } size ? Dword(page, size) : null,
        };
    }

    private static uint Dword(ReadOnlySpan<byte> page, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(page[offset..]);

    /// <summary><c>KSYSTEM_TIME</c> (ntddk.h): LowPart, High1Time, High2Time. Its first eight bytes are the time.</summary>
    private static ulong Time(ReadOnlySpan<byte> page, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(page[offset..]);
}
