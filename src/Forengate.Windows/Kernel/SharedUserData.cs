namespace Forengate.Windows;

/// <summary>What <c>KUSER_SHARED_DATA</c> tells. Times are of the last clock interrupt: old on a guest that hung.</summary>
public sealed record SharedUserData
{
    /// <summary>System time (UTC) in 100 ns since 1601.</summary>
    public required ulong SystemTime { get; init; }

    /// <summary>Time since boot in 100 ns.</summary>
    public required ulong InterruptTime { get; init; }

    /// <summary>Local time is UTC less this, in 100 ns.</summary>
    public required long TimeZoneBias { get; init; }

    public required uint NtMajorVersion { get; init; }

    public required uint NtMinorVersion { get; init; }

    /// <summary>From 14393 on; null before.</summary>
    public uint? NtBuildNumber { get; init; }

    /// <summary>1 workstation, 2 domain controller, 3 server.</summary>
    public required uint NtProductType { get; init; }

    public required uint SuiteMask { get; init; }

    /// <summary>Counts boots; from 14393 on; null before.</summary>
    public uint? BootId { get; init; }

    /// <summary>"C:\Windows".</summary>
    public required string NtSystemRoot { get; init; }

    /// <summary>In pages of 4 KiB.</summary>
    public required uint NumberOfPhysicalPages { get; init; }

    /// <summary>Bit 0: a kernel debugger is enabled; bit 1: it is attached.</summary>
    public required byte KdDebuggerEnabled { get; init; }

    /// <summary><c>XState.EnabledFeatures</c>: XCR0 as Windows uses it; null where the profile lacks the field.</summary>
    public ulong? XStateEnabledFeatures { get; init; }

    /// <summary><c>XState.Size</c>: bytes of an XSAVE area.</summary>
    public uint? XStateSize { get; init; }

    /// <summary><see cref="SystemTime"/> as a time; null where it is out of range.</summary>
    public DateTimeOffset? SystemTimeUtc => WindowsTime.FromFileTime(SystemTime);
}
