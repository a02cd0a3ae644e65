namespace Forengate.Windows;

/// <summary>Which Windows this is, with what <c>KdVersionBlock</c> (<c>DBGKD_GET_VERSION64</c>) and the kernel's own strings say.</summary>
public sealed record KernelVersion
{
    /// <summary>NT version: 6.1 is Windows 7, 10.0 is Windows 10 and 11. From KUSER_SHARED_DATA.</summary>
    public required uint Major { get; init; }

    public required uint Minor { get; init; }

    /// <summary>Build number: 7601, 19041, …</summary>
    public required uint Build { get; init; }

    /// <summary><c>KdVersionBlock.MajorVersion</c>: 0xF free, 0xC checked; null where the block could not be read.</summary>
    public ushort? KdMajor { get; init; }

    /// <summary><c>KdVersionBlock.MinorVersion</c>: the build number again.</summary>
    public ushort? KdMinor { get; init; }

    public byte? ProtocolVersion { get; init; }

    public byte? KdSecondaryVersion { get; init; }

    public ushort? KdFlags { get; init; }

    /// <summary>IMAGE_FILE_MACHINE of the kernel: 0x8664 for x64.</summary>
    public ushort MachineType { get; init; } = 0x8664;

    /// <summary><c>NtBuildLab</c>: "19041.vb_release.191206-1406", as far as readable.</summary>
    public string? BuildLab { get; init; }

    /// <summary><c>NtBuildLabEx</c>: with revision and platform.</summary>
    public string? BuildLabEx { get; init; }

    public override string ToString() => $"{Major}.{Minor}.{Build}";
}
