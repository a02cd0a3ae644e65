using K = Forengate.Windows.DebuggerDataField;

namespace Forengate.Windows;

/// <summary>
/// What a small dump of 32-bit Windows is read by. KDBG of Windows XP ends before the offsets that later ones have, so that those are here too. Source: the type tables that Vergilius publishes
/// (<c>kernels/layouts.tar.zst</c> of the test data, <c>*-x86.json</c>), taken as facts; a test compares them where that data is at hand.
/// </summary>
/// <param name="Build">Build number.</param>
/// <param name="Size">sizeof EPROCESS.</param>
/// <param name="ProcessId"><c>EPROCESS.UniqueProcessId</c>.</param>
/// <param name="ParentId"><c>EPROCESS.InheritedFromUniqueProcessId</c>.</param>
/// <param name="ImageFileName"><c>EPROCESS.ImageFileName</c>.</param>
/// <param name="CreateTime"><c>EPROCESS.CreateTime</c>.</param>
/// <param name="ExitTime"><c>EPROCESS.ExitTime</c>.</param>
/// <param name="Peb"><c>EPROCESS.Peb</c>.</param>
/// <param name="ActiveThreads"><c>EPROCESS.ActiveThreads</c>.</param>
/// <param name="ThreadId"><c>ETHREAD.Cid.UniqueThread</c>.</param>
/// <param name="ThreadProcess"><c>KTHREAD.ApcState.Process</c>.</param>
/// <param name="ProcessorNumber"><c>KPRCB.Number</c>, of which every build has the lowest byte.</param>
/// <param name="SpecialRegisters"><c>KPRCB.ProcessorState.SpecialRegisters</c>.</param>
internal sealed record X86SmallDumpLayout(
    uint Build, int Size, int ProcessId, int ParentId, int ImageFileName, int CreateTime, int ExitTime, int Peb, int ActiveThreads, int ThreadId, int ThreadProcess, int ProcessorNumber,
    int SpecialRegisters)
{
    /// <summary><c>KPRCB.CurrentThread</c> in all of them.</summary>
    public const int CurrentThread = 0x04;

    /// <summary><c>KPROCESS.DirectoryTableBase</c> in all of them.</summary>
    public const int DirectoryTableBase = 0x18;

    public static readonly IReadOnlyList<X86SmallDumpLayout> All =
    [
        new(2600, 0x260, 0x84, 0x14C, 0x174, 0x70, 0x78, 0x1B0, 0x1A0, 0x1F0, 0x44, 0x10, 0x2E8),
        new(3790, 0x278, 0x94, 0x138, 0x164, 0x80, 0x88, 0x1A0, 0x190, 0x1E8, 0x38, 0x10, 0x2E8),
        new(6000, 0x270, 0x9C, 0x124, 0x14C, 0x88, 0x90, 0x188, 0x178, 0x210, 0x48, 0x10, 0x2E8),
        new(6001, 0x270, 0x9C, 0x124, 0x14C, 0x88, 0x90, 0x188, 0x178, 0x210, 0x48, 0x10, 0x2E8),
        new(6002, 0x270, 0x9C, 0x124, 0x14C, 0x88, 0x90, 0x188, 0x178, 0x210, 0x48, 0x10, 0x2E8),
        new(7600, 0x2C0, 0xB4, 0x140, 0x16C, 0xA0, 0xA8, 0x1A8, 0x198, 0x230, 0x50, 0x3CC, 0x2E4),
        new(7601, 0x2C0, 0xB4, 0x140, 0x16C, 0xA0, 0xA8, 0x1A8, 0x198, 0x230, 0x50, 0x3CC, 0x2E4),
        new(9200, 0x2E8, 0xB4, 0x134, 0x170, 0xA8, 0x2B8, 0x140, 0x19C, 0x218, 0x80, 0x3CC, 0x2E4),
        new(9600, 0x2F8, 0xB4, 0x134, 0x170, 0xA8, 0x2B0, 0x140, 0x19C, 0x368, 0x80, 0x3CC, 0x2E4),
        new(9600, 0x310, 0xB4, 0x134, 0x170, 0xA8, 0x2B0, 0x140, 0x19C, 0x368, 0x80, 0x3CC, 0x2E4),
        new(10240, 0x380, 0xB4, 0x138, 0x170, 0xC8, 0x2C0, 0x144, 0x19C, 0x378, 0x80, 0x3CC, 0x2E4),
        new(10586, 0x370, 0xB4, 0x138, 0x174, 0xC8, 0x2C0, 0x144, 0x1A0, 0x378, 0x80, 0x3CC, 0x2E4),
        new(14393, 0x388, 0xB4, 0x138, 0x174, 0xC8, 0x2C8, 0x144, 0x1A0, 0x378, 0x80, 0x3CC, 0x2E4),
        new(15063, 0x3E0, 0xB4, 0x140, 0x17C, 0xD0, 0x2D0, 0x14C, 0x1A8, 0x380, 0x80, 0x3CC, 0x2E4),
        new(16299, 0x3E8, 0xB4, 0x140, 0x17C, 0xD0, 0x2D0, 0x14C, 0x1A8, 0x380, 0x80, 0x3CC, 0x2E4),
        new(17134, 0x400, 0xB4, 0x140, 0x17C, 0xD0, 0x2D8, 0x14C, 0x1A8, 0x380, 0x80, 0x3CC, 0x2E4),
        new(17763, 0x408, 0xB4, 0x140, 0x17C, 0xD0, 0x2D8, 0x14C, 0x1A8, 0x380, 0x80, 0x3CC, 0x2E4),
        new(19041, 0x4C0, 0xE4, 0x170, 0x1AC, 0x100, 0x388, 0x17C, 0x1D8, 0x2B0, 0x80, 0x3CC, 0x2E4),
        new(19041, 0x500, 0xE4, 0x170, 0x1AC, 0x100, 0x388, 0x17C, 0x1D8, 0x2B0, 0x80, 0x3CC, 0x2E4),
        new(19045, 0x500, 0xE4, 0x170, 0x1AC, 0x100, 0x388, 0x17C, 0x1D8, 0x2B0, 0x80, 0x3CC, 0x2E4),
    ];

    /// <summary>The build's, if it agrees with all that the dump's KDBG says; null where none does.</summary>
    public static X86SmallDumpLayout? Of(uint build, ReadOnlySpan<byte> kdbg)
    {
        foreach (var layout in All)
        {
            if (layout.Build == build && Agrees(kdbg, K.SizeEProcess, layout.Size) && Agrees(kdbg, K.OffsetEprocessParentCid, layout.ParentId) && Agrees(kdbg, K.OffsetEprocessPeb, layout.Peb)
                && Agrees(kdbg, K.OffsetEprocessDirectoryTableBase, DirectoryTableBase) && Agrees(kdbg, K.OffsetKThreadApcProcess, layout.ThreadProcess)
                && Agrees(kdbg, K.OffsetPrcbCurrentThread, CurrentThread))
                return layout;
        }
        return null;
    }

    /// <summary>What is read of it as of a kernel of any width.</summary>
    public SmallDumpLayout Common => new()
    {
        Name = $"build {Build} (32 bits)",
        ProcessId = ProcessId,
        ImageFileName = ImageFileName,
        CreateTime = CreateTime,
        ExitTime = ExitTime,
        ActiveThreads = ActiveThreads,
        Length = Size,
        ThreadId = ThreadId,
    };

    private static bool Agrees(ReadOnlySpan<byte> kdbg, K field, int value) => SmallDumpReader.Word(kdbg, field) is not { } said || said == value;
}
