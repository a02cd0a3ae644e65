namespace Forengate.Lab.Machine;

/// <summary>What backs guest RAM.</summary>
public enum RamBackend
{
    /// <summary>Private anonymous memory, as QEMU does without being asked.</summary>
    Anonymous,

    /// <summary>A shared memfd.</summary>
    Memfd,

    /// <summary>A shared file in the machine's directory.</summary>
    File,
}

/// <summary>How a twin's machine is made. The defaults give the plainest one.</summary>
public sealed record MachineOptions
{
    /// <summary>QEMU machine type: pc or q35.</summary>
    public string Machine { get; init; } = "pc";

    /// <summary>QEMU CPU model. <c>max</c> is all that TCG can do; libvirt calls it <c>maximum</c>.</summary>
    public string Cpu { get; init; } = "max";

    public RamBackend Backend { get; init; } = RamBackend.Anonymous;

    /// <summary>Number of NUMA nodes, each with a RAM block of its own; 1 means no NUMA. 1 to 8.</summary>
    public int NumaNodes { get; init; } = 1;

    /// <summary>Slots for memory modules that are plugged in later, up to 64 GiB; 0 to 256. Not through libvirt.</summary>
    public int MemorySlots { get; init; }

    /// <summary>Adds a standard VGA: 16 MiB of video RAM and an option ROM, RAM blocks that are not the guest's memory.</summary>
    public bool Vga { get; init; }

    /// <summary>Adds the vmcoreinfo device, through which a guest can hand QEMU a dump header.</summary>
    public bool VmCoreInfo { get; init; }

    /// <summary>Leaves the CPUs stopped at the reset vector.</summary>
    public bool Paused { get; init; }

    /// <summary>Number of QMP sockets, 1 to 4. A socket serves one client at a time: the last one is the machine's own, the ones before belong to others.</summary>
    public int Monitors { get; init; } = 2;

    /// <summary>
    /// Runs all CPUs in one host thread, which is faster and kinder to a small host than a spinning thread each. libvirt has no word for it and always
    /// runs a thread each.
    /// </summary>
    public bool SingleThread { get; init; } = true;

    /// <summary>Adds pvpanic on the ISA bus.</summary>
    public bool PanicIsa { get; init; }

    /// <summary>Adds pvpanic-pci, in <see cref="CrashCode.PanicSlot"/>.</summary>
    public bool PanicPci { get; init; }

    /// <summary>Adds an ib700 watchdog with this action ("pause", "reset", "none" …); null: none.</summary>
    public string? Watchdog { get; init; }

    /// <summary>What libvirt does when the guest crashes.</summary>
    public string OnCrash { get; init; } = "preserve";

    /// <summary>Further arguments for QEMU, as they are.</summary>
    public IReadOnlyList<string> ExtraArguments { get; init; } = [];

    /// <summary>Where to look for QEMU: a path or a name on PATH.</summary>
    public string Qemu { get; init; } = "qemu-system-x86_64";

    /// <summary>Starts the machine through this libvirt instead of directly.</summary>
    public string? LibvirtUri { get; init; }

    /// <summary>Name of the guest.</summary>
    public string Name { get; init; } = "twin";

    /// <summary>How long a start may take until all CPUs are where the plan puts them; null: by the size of memory, which a slow disk must first give.</summary>
    public TimeSpan? StartTimeout { get; init; }

    internal TimeSpan StartBound(ulong memorySize) => StartTimeout ?? TimeSpan.FromSeconds(30 + (15 * (double)memorySize / (1 << 30)));
}
