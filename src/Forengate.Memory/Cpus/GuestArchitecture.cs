namespace Forengate.Memory;

/// <summary>The kind of processor a guest's system is made for.</summary>
public enum GuestArchitecture
{
    /// <summary>32-bit x86, with or without PAE.</summary>
    X86,

    X64,

    Arm64,
}
