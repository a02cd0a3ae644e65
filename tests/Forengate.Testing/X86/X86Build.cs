namespace Forengate.Testing.X86;

/// <summary>
/// Offsets of one 32-bit kernel as the tests lay memory out with, written down apart from the product's: from the type tables of the named versions
/// (<c>kernels/layouts.tar.zst</c>).
/// </summary>
public sealed record X86Build(
    string Version, uint Build, uint Major, uint Minor, int Pid, int Links, int Parent, int Name, int Created, int Exited, int Peb, int ActiveThreads, int Threads,
    int ThreadEntry, int ThreadProcess, int Number, int State, int ContextPointer, int KdbgSize)
{
    public static readonly X86Build Xp = new("5.1.2600.5512", 2600, 5, 1, 0x84, 0x88, 0x14C, 0x174, 0x70, 0x78, 0x1B0, 0x1A0, 0x190, 0x22C, 0x44, 0x10, 0x1C, 0, 0x290);

    public static readonly X86Build Seven = new("6.1.7601.17514", 7601, 6, 1, 0xB4, 0xB8, 0x140, 0x16C, 0xA0, 0xA8, 0x1A8, 0x198, 0x188, 0x268, 0x50, 0x3CC, 0x18, 0x3618, 0x340);

    public static readonly X86Build Ten = new("10.0.10240.16384", 10240, 10, 0, 0xB4, 0xB8, 0x138, 0x170, 0xC8, 0x2C0, 0x144, 0x19C, 0x194, 0x3AC, 0x80, 0x3CC, 0x18, 0x40E8, 0x360);

    public static readonly X86Build TenLast = new("10.0.19045.2965", 19045, 10, 0, 0xE4, 0xE8, 0x170, 0x1AC, 0x100, 0x388, 0x17C, 0x1D8, 0x1D0, 0x2E4, 0x80, 0x3CC, 0x18, 0x4168, 0x380);

    public static IReadOnlyList<X86Build> All => [Xp, Seven, Ten, TenLast];

    public static X86Build Of(uint build) => All.Single(one => one.Build == build);
}
