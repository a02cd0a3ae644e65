using Forengate.Lab.Machine;

namespace Forengate.Lab.Image;

/// <summary>Where the CPUs of a twin are caught: all in one mode, or one mode after the other.</summary>
internal enum CpuModes
{
    Kernel,
    User,
    Entry,
    Mixed,
}

/// <summary>A bugcheck the guest's memory tells of.</summary>
internal sealed record Bugcheck(uint Code, ulong P1, ulong P2, ulong P3, ulong P4);

/// <summary>What a twin shall be. Same options, same image, byte for byte.</summary>
internal sealed record TwinOptions
{
    public const ulong MiB = 1 << 20;

    public string Build { get; init; } = "19041";
    public ulong Seed { get; init; } = 1;
    /// <summary>Bytes of RAM, 128 MiB to 8 GiB.</summary>
    public ulong MemorySize { get; init; } = 512 * MiB;
    /// <summary>Bytes of RAM below the PCI hole; 0 takes what QEMU's pc machine takes.</summary>
    public ulong LowSize { get; init; }
    public int CpuCount { get; init; } = 1;
    public CpuModes CpuModes { get; init; }
    /// <summary>The last so many CPUs are caught outside of Windows, as with virtualization-based security: by turns in the secure kernel and in the hypervisor.</summary>
    public int OutsideCpus { get; init; }
    /// <summary>Processes in PsActiveProcessHead, System and the exited ones still listed included: 1 to 5,000.</summary>
    public int Processes { get; init; } = 40;
    /// <summary>Most threads a process has.</summary>
    public int Threads { get; init; } = 4;
    public int Drivers { get; init; } = 60;
    /// <summary>Levels of the page tables: 4, or 5 with CR4.LA57.</summary>
    public int Levels { get; init; } = 4;
    /// <summary>Null takes what such a Windows does by default on a PC of its time: on.</summary>
    public bool KvaShadow { get; init; } = true;
    public bool KdbgEncoded { get; init; } = true;
    public int HiddenProcesses { get; init; } = 1;
    public int HiddenDrivers { get; init; } = 1;
    public int ExitedProcesses { get; init; } = 2;
    public int SpareProcesses { get; init; } = 4;
    /// <summary>Pages on Windows' free list, which hold what is left of their last use.</summary>
    public int FreePages { get; init; } = 256;
    /// <summary>Pages of files, unchanged and out of every working set.</summary>
    public int StandbyPages { get; init; } = 512;
    /// <summary>Pages of files still to be written.</summary>
    public int ModifiedPages { get; init; } = 64;
    /// <summary>Most pages on the zeroed list; what is left is held by a driver. Null: all that is left is zeroed.</summary>
    public int? ZeroedPages { get; init; }
    /// <summary>Pages that the guest writes to without pause when told to: a power of two, 0 for none.</summary>
    public int HotPages { get; init; }
    /// <summary>Percent of free RAM that is filled with seeded data; a driver holds these pages.</summary>
    public int FillPercent { get; init; }
    public Bugcheck? Bugcheck { get; init; }
    /// <summary>Memory that comes while the guest runs: the machine's when it is plugged in, Windows' at the guest's command.</summary>
    public PlugPlan? Plug { get; init; }
    /// <summary>The guest can be told to crash.</summary>
    public bool Panic { get; init; }
    /// <summary>It crashes by itself, some tenths of a second after its start.</summary>
    public PanicWay? PanicAtBoot { get; init; }
    /// <summary>A driver in the guest has left a dump header for QEMU's win-dmp.</summary>
    public bool Note { get; init; }
    /// <summary>Moves the fields of the kernel's private structures, and its globals, by this seed: a kernel no table knows (<see cref="Tables.LayoutShuffle"/>).</summary>
    public ulong? Shuffle { get; init; }
    /// <summary>Gives the kernel another PDB, time stamp and size, so that its build is in no list though its layouts are real.</summary>
    public bool HideBuild { get; init; }

    /// <summary>QEMU's pc machine (hw/i386/pc_piix.c): below 3.5 GiB all RAM is low, else 3 GiB are.</summary>
    public ulong EffectiveLowSize => LowSize != 0 ? Math.Min(LowSize, MemorySize) : MemorySize < 0xE000_0000 ? MemorySize : 0xC000_0000;

    public CpuMode ModeOf(int cpu) => CpuModes switch
    {
        CpuModes.User => CpuMode.User,
        CpuModes.Entry => CpuMode.Entry,
        CpuModes.Mixed => (CpuMode)(cpu % 3),
        _ => CpuMode.Kernel,
    };

    /// <summary>Where outside of Windows a CPU is caught; null for those that are within.</summary>
    public CpuMode? OutsideOf(int cpu) => cpu < CpuCount - OutsideCpus ? null : cpu % 2 == 0 ? CpuMode.SecureKernel : CpuMode.Hypervisor;

    public void Check()
    {
        Require(MemorySize is >= 128 * MiB and <= 8192 * MiB && MemorySize % (2 * MiB) == 0, "memory must be 128 to 8192 MiB, an even number");
        Require(EffectiveLowSize >= 64 * MiB && EffectiveLowSize <= 0xE000_0000 && EffectiveLowSize % (2 * MiB) == 0, "memory below the hole must be 64 to 3584 MiB, an even number");
        Require(Levels is 4 or 5, "4 or 5 levels of page tables");
        Require(CpuCount is >= 1 and <= 64, "1 to 64 CPUs");
        Require(OutsideCpus >= 0 && OutsideCpus <= CpuCount, "as many CPUs outside of Windows as there are, at most");
        Require(Processes is >= 1 and <= 5000, "1 to 5000 processes");
        Require(Threads is >= 1 and <= 64, "1 to 64 threads a process");
        Require(Drivers is >= 2 and <= 200, "2 to 200 drivers");
        Require(HiddenProcesses is >= 0 and <= 64 && SpareProcesses is >= 0 and <= 64 && HiddenDrivers is >= 0 and <= 16, "0 to 64 hidden and spare processes, 0 to 16 hidden drivers");
        Require(ExitedProcesses is >= 0 and <= 64, "0 to 64 exited processes");
        Require(FreePages is >= 0 and <= 1 << 21 && StandbyPages is >= 0 and <= 1 << 21 && ModifiedPages is >= 0 and <= 1 << 21 && ZeroedPages is null or >= 0, "0 to 2097152 free, standby and modified pages");
        Require(Plug is null || Plug.Address >= (MemorySize > EffectiveLowSize ? GuestRam.HighBase + MemorySize - EffectiveLowSize : GuestRam.HighBase), "memory to be plugged must lie above 4 GiB, behind all RAM");
        Require(HotPages == 0 || HotPages is > 0 and <= 1 << 16 && (HotPages & HotPages - 1) == 0, "the hot area must have a power of two of pages, 65536 at most");
        Require(FillPercent is >= 0 and <= 100, "0 to 100 percent fill");
    }

    private static void Require(bool condition, string message)
    {
        if (!condition)
            throw new ImageException(message);
    }
}
