namespace Forengate.Lab.Machine;

/// <summary>Where a CPU of the twin is kept while the twin runs.</summary>
public enum CpuMode
{
    /// <summary>Ring 0 on the kernel's page tables, GS base = KPCR.</summary>
    Kernel,

    /// <summary>Ring 3 in a process's code, GS base = TEB, kernel GS base = KPCR; with KVA shadow on the user page tables.</summary>
    User,

    /// <summary>Ring 0 just behind the system-call entry, before SWAPGS: GS base still the TEB, kernel GS base the KPCR; with KVA shadow still on the user page tables.</summary>
    Entry,

    /// <summary>Ring 0 of the secure kernel beside Windows: tables, descriptor tables, GS and system-call entry of its own.</summary>
    SecureKernel,

    /// <summary>The hypervisor below Windows: tables, descriptor tables and GS of its own, Windows' kernel GS base and system-call entry still loaded.</summary>
    Hypervisor,
}

/// <summary>Everything one vCPU must hold when it leaves the boot ROM. Values are what Windows itself would have loaded.</summary>
public sealed record CpuStart
{
    public required int Index { get; init; }
    public required CpuMode Mode { get; init; }
    public required ulong Cr0 { get; init; }
    /// <summary>Table the CPU is caught on, PCID bits included.</summary>
    public required ulong Cr3 { get; init; }
    public required ulong Cr4 { get; init; }
    public ulong Cr8 { get; init; }
    public required ulong Efer { get; init; }
    public required ulong GdtBase { get; init; }
    public required ushort GdtLimit { get; init; }
    public required ulong IdtBase { get; init; }
    public required ushort IdtLimit { get; init; }
    public required ushort TrSelector { get; init; }
    public ushort LdtSelector { get; init; }
    public required ulong GsBase { get; init; }
    public required ulong KernelGsBase { get; init; }
    public ulong FsBase { get; init; }
    public required ulong Star { get; init; }
    public required ulong LStar { get; init; }
    public required ulong CStar { get; init; }
    public required ulong SfMask { get; init; }
    public required ulong Rip { get; init; }
    /// <summary>Where the boot ROM leaves through, for CPUs outside of Windows: code that loads CR3 from RAX and jumps to R9. 0 for the guest code's own.</summary>
    public ulong Leave { get; init; }
    public required ulong Rsp { get; init; }
    public required ulong Rflags { get; init; }
    public required ushort Cs { get; init; }
    public required ushort Ss { get; init; }
    public required ushort Ds { get; init; }
    public required ushort Es { get; init; }
    public required ushort Fs { get; init; }
    public required ushort Gs { get; init; }
    /// <summary>Values the guest code keeps in registers for ever, so that tests can tell CPUs apart; the code says which of them it preserves.</summary>
    public required ulong R12 { get; init; }
    public required ulong R13 { get; init; }
    public required ulong R14 { get; init; }
    public required ulong R15 { get; init; }
    public uint MxCsr { get; init; } = 0x1F80;
    /// <summary>32 bytes a register for XMM0..XMM15 low halves would be 16; the ROM loads XMM6..XMM9 from here (4 x 16 bytes), or leaves them zero.</summary>
    public byte[]? Xmm6To9 { get; init; }
    /// <summary>Kernel stack for <see cref="Rsp"/> when the CPU enters ring 0 from ring 3.</summary>
    public required ulong KernelStack { get; init; }
    /// <summary>CR3 of the full kernel view of the process this CPU runs in, PCID bits included.</summary>
    public required ulong KernelCr3 { get; init; }
}

/// <summary>A run of guest-physical memory with content. Address and length are page-aligned; runs are few (tens) and far apart runs are separate.</summary>
public sealed record MemorySegment(ulong Address, ReadOnlyMemory<byte> Bytes);

/// <summary>What the machine needs to bring a built image to life: made by the image builder, used by the machine.</summary>
public sealed record BootPlan
{
    /// <summary>Bytes of RAM, and where it is split: [0, LowSize) and [4 GiB, 4 GiB + MemorySize - LowSize).</summary>
    public required ulong MemorySize { get; init; }
    public required ulong LowSize { get; init; }
    public required IReadOnlyList<CpuStart> Cpus { get; init; }
    public required IReadOnlyList<MemorySegment> Segments { get; init; }
    /// <summary>Addresses of the guest code's data, see <see cref="GuestCodeAddresses"/>.</summary>
    public required GuestCodeAddresses Code { get; init; }
    /// <summary>The note that the guest hands to QEMU's vmcoreinfo device, where the machine has one: what a driver in the guest would register. Null: none.</summary>
    public VmCoreInfoNote? VmCoreInfo { get; init; }
}

/// <summary>An ELF note in guest memory (QEMU docs/specs/vmcoreinfo.txt): guest-physical address and bytes of the whole note, its header included.</summary>
public sealed record VmCoreInfoNote(ulong Address, uint Size);

/// <summary>
/// Virtual addresses the guest code is assembled for. The image builder places the assembled blobs at them before the image is complete.
/// </summary>
public sealed record GuestCodeAddresses
{
    /// <summary>Kernel-mode idle loop, somewhere inside ntoskrnl's executable section (full kernel view only). 0x400 bytes are reserved.</summary>
    public required ulong KernelLoop { get; init; }

    /// <summary>System-call entry (the real RVA of KiSystemCall64, or of KiSystemCall64Shadow with KVA shadow). Mapped in user tables with KVA shadow. At most 0x80 bytes; jump on to <see cref="EntryBody"/>.</summary>
    public required ulong SystemCallEntry { get; init; }

    /// <summary>Further entry code, also mapped in the user tables with KVA shadow (in KVASCODE). 0x400 bytes are reserved.</summary>
    public required ulong EntryBody { get; init; }

    /// <summary>User-mode loop inside the process image. 0x400 bytes are reserved. Same VA in every process that a CPU runs in.</summary>
    public required ulong UserLoop { get; init; }

    /// <summary>Kernel VA of the counter page (0x1000 bytes): +0 a rising counter of CPU 0; +8*(1+cpu) one of each CPU; see docs/lab.md for the rest.</summary>
    public required ulong CounterPage { get; init; }

    /// <summary>Kernel VA of the command table (see <see cref="CommandTable"/>).</summary>
    public required ulong CommandTable { get; init; }

    /// <summary>Offsets from the KPCR (GS base): a qword of scratch and the kernel CR3, in a page that KVA-shadow user tables map too.</summary>
    public required uint KpcrScratch { get; init; }
    public required uint KpcrKernelCr3 { get; init; }

    public required bool KvaShadow { get; init; }

    /// <summary>Kernel VA of the hot area, 0 for none: while it is switched on, each bump of the rising counter writes it to page (counter mod <see cref="HotPages"/>) of the area.</summary>
    public ulong HotArea { get; init; }

    /// <summary>Pages of the hot area, a power of two.</summary>
    public int HotPages { get; init; }

    /// <summary>Kernel VA under which <see cref="CrashCode.PanicAddress"/> is mapped; 0: the guest can't be told to crash.</summary>
    public ulong PanicPage { get; init; }

    /// <summary>The guest crashes by itself soon after its start: nothing is to be waited for.</summary>
    public bool PanicsAtBoot { get; init; }
}

/// <summary>
/// What the guest does on command over COM1. The builder lays out spare processes in full and writes this table; the guest's code only links and unlinks.
/// Layout in guest memory (little endian): u32 magic 'TWCM' (0x4D435754), u32 count, then one 64-byte entry a command:
/// u32 kind (1 = insert list entry at tail, 2 = remove list entry, 3 = neither, the writes only), u32 number of qword writes that follow the list step (0..6 pairs do not fit here: they lie at WritesVa),
/// u64 ListHead VA, u64 Entry VA, u64 WritesVa (array of {u64 VA, u64 value}), u64 state (guest sets 1 when done), 16 bytes zero.
/// Over COM1: host sends 'C' + two hex digits (command index) + newline; guest answers "OK xx\n" or "ER xx\n"; host sends 'P' + newline, guest answers "TWIN\n";
/// host sends 'H' + '1' or '0' + newline: the hot area is switched on or off, "OK 01" or "OK 00" (or "ER", where there is none);
/// host sends 'B' + a digit (<see cref="PanicWay"/>) + newline: "OK 0d", and then the guest crashes that way.
/// </summary>
public static class CommandTable
{
    public const uint Magic = 0x4D435754;
    public const int HeaderSize = 8;
    public const int EntrySize = 64;
    public const uint InsertAtTail = 1;
    public const uint Remove = 2;
    public const uint WriteOnly = 3;
}
