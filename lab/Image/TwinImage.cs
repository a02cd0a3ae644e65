using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>An image as built: the plan to boot it by, and all that is true of it.</summary>
internal sealed record TwinImage
{
    public required TwinOptions Options { get; init; }
    public required KernelTables Tables { get; init; }
    public required BootPlan Plan { get; init; }
    public required GuestRam Ram { get; init; }
    public required AddressSpace System { get; init; }
    public required KernelLayout Layout { get; init; }
    public required KernelImage Kernel { get; init; }
    public required ulong SystemDtb { get; init; }
    public required string BuildLab { get; init; }
    public required string BuildLabEx { get; init; }
    public required Kdbg Kdbg { get; init; }
    public required SharedUserData Shared { get; init; }
    public required IReadOnlyList<PhysicalRun> Runs { get; init; }
    public required IReadOnlyList<ProcessorBlock> Processors { get; init; }
    public required IReadOnlyList<(TwinProcess Process, TwinThread Thread)> Running { get; init; }
    public required IReadOnlyList<TwinDriver> Drivers { get; init; }
    public required TwinProcess Idle { get; init; }
    public required IReadOnlyList<TwinProcess> Processes { get; init; }
    public required IReadOnlyList<GuestCommand> Commands { get; init; }
    public required ObjectTypes Objects { get; init; }
    public required KernelPool Pool { get; init; }
    public required ulong PfnDatabase { get; init; }
    public required PageFrames Frames { get; init; }
    public HotArea? Hot { get; init; }
    public MemoryGrowth? Growth { get; init; }
    public CrashDumpNote? Note { get; init; }
}
