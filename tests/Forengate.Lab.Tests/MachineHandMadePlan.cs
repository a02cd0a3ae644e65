using System.Buffers.Binary;
using Forengate.Lab.Machine;

namespace Forengate.Lab.Tests;

/// <summary>The least that looks like Windows to a CPU: two processes, GDT, IDT and TSS a CPU, KPCRs, a doubly linked list with commands to change it.</summary>
internal sealed class MachineHandMadePlan
{
    public const ulong KernelLoop = 0xFFFFF80012345400, SystemCallEntry = 0xFFFFF80012A00040, EntryBody = 0xFFFFF80012A00800, UserLoop = 0x7FF612340400;
    public const ulong CounterPage = 0xFFFFF78010000000, Commands = 0xFFFFA00000010000, ListHead = 0xFFFFA00000020000, Stacks = 0xFFFFB00000000000;
    public const uint KpcrScratch = 0x10, KpcrKernelCr3 = 0x9000 % 0x1000 + 0x800;
    public const int EntrySpacing = 0x100;
    private const ulong Kpcrs = 0xFFFFF80020000000, Tables = 0xFFFFF80030000000, Writable = 0x63, Code = 0x21, UserCode = 0x25, NoExecute = 1UL << 63;

    private readonly SortedDictionary<ulong, byte[]> _pages = [];
    private readonly Dictionary<ulong, ulong> _physical = [];
    private ulong _nextLow = 0x200000, _nextHigh = 1UL << 32;
    private readonly bool _high;

    private MachineHandMadePlan(bool high) => _high = high;

    /// <summary>Page frames that a running twin writes to: counters, lists, KPCRs, GDTs.</summary>
    public IReadOnlySet<ulong> WrittenFrames => _physical.Where(p => p.Key is >= Kpcrs and < Tables + 0x200000 or CounterPage or Commands or ListHead)
        .Select(p => p.Value >> 12).ToHashSet();

    public BootPlan Plan { get; private set; } = null!;

    public static ulong Kpcr(int cpu) => Kpcrs + (ulong)cpu * 0x1000;

    /// <param name="modes">One CPU each.</param>
    /// <param name="kvaShadow">Whether user mode has page tables of its own.</param>
    /// <param name="high">RAM is split at 128 MiB, and the processes' page tables and code lie above 4 GiB.</param>
    public static BootPlan Make(IReadOnlyList<CpuMode> modes, bool kvaShadow = false, bool high = false) => MakeWhole(modes, kvaShadow, high).Plan;

    public static MachineHandMadePlan MakeWhole(IReadOnlyList<CpuMode> modes, bool kvaShadow, bool high)
    {
        var whole = new MachineHandMadePlan(high);
        whole.Plan = whole.Build(modes, kvaShadow);
        return whole;
    }

    private BootPlan Build(IReadOnlyList<CpuMode> modes, bool kvaShadow)
    {
        var addresses = new GuestCodeAddresses
        {
            KernelLoop = KernelLoop, SystemCallEntry = SystemCallEntry, EntryBody = EntryBody, UserLoop = UserLoop, CounterPage = CounterPage,
            CommandTable = Commands, KpcrScratch = KpcrScratch, KpcrKernelCr3 = KpcrKernelCr3, KvaShadow = kvaShadow,
        };
        var code = GuestCode.Assemble(addresses);
        var system = NewPage(high: false);
        // All top-level entries of the kernel half exist before a process copies them.
        foreach (var va in new[] { KernelLoop, CounterPage, Commands, Stacks })
            Table(system, va, 3, user: false);
        Map(system, KernelLoop, Code);
        Map(system, SystemCallEntry, Code);
        Map(system, CounterPage, Writable | NoExecute);
        Map(system, Commands, Writable | NoExecute);
        Map(system, ListHead, Writable | NoExecute);
        for (var i = 0; i < modes.Count; i++)
        {
            Map(system, Kpcr(i), Writable | NoExecute);
            Map(system, Tables + (ulong)i * 0x2000, Writable | NoExecute);
            Map(system, Tables + (ulong)i * 0x2000 + 0x1000, Writable | NoExecute);
            Map(system, Stacks + (ulong)i * 0x1000, Writable | NoExecute);
        }
        Write(KernelLoop, code.KernelLoop);
        Write(SystemCallEntry, code.SystemCallEntry);
        Write(EntryBody, code.EntryBody);
        WriteCommands();

        var processes = new List<(ulong Kernel, ulong User)>();
        for (var p = 0; p < 2; p++)
        {
            var kernel = NewPage(_high);
            for (var i = 256; i < 512; i++)
                Put(kernel + (ulong)i * 8, Get(system + (ulong)i * 8));
            Map(kernel, UserLoop, UserCode);
            Write(UserLoop, code.UserLoop);
            var user = kernel;
            if (kvaShadow)
            {
                user = NewPage(_high);
                Put(user + (UserLoop >> 39 & 511) * 8, Get(kernel + (UserLoop >> 39 & 511) * 8));
                MapTo(user, SystemCallEntry, _physical[SystemCallEntry & ~0xFFFUL], Code);
                for (var i = 0; i < modes.Count; i++)
                {
                    MapTo(user, Kpcr(i), _physical[Kpcr(i)], Writable | NoExecute);
                    MapTo(user, Tables + (ulong)i * 0x2000, _physical[Tables + (ulong)i * 0x2000], Writable | NoExecute);
                    MapTo(user, Tables + (ulong)i * 0x2000 + 0x1000, _physical[Tables + (ulong)i * 0x2000 + 0x1000], Writable | NoExecute);
                }
            }
            processes.Add((kernel | (kvaShadow ? 2u : 0u), user | (kvaShadow ? 1u : 0u)));
        }

        var cpus = modes.Select((mode, i) => Cpu(i, mode, processes[i % 2], code)).ToList();
        return new BootPlan
        {
            MemorySize = _high ? 256UL << 20 : 128UL << 20, LowSize = 128UL << 20, Cpus = cpus, Segments = Segments(), Code = addresses,
        };
    }

    private CpuStart Cpu(int i, CpuMode mode, (ulong Kernel, ulong User) process, GuestCodeImage code)
    {
        var gdt = Tables + (ulong)i * 0x2000;
        var tss = gdt + 0x800;
        foreach (var (selector, descriptor) in new[]
            {
                (0x10, 0x00AF9B000000FFFFUL), (0x18, 0x00CF93000000FFFFUL), (0x20, 0x00CFFB000000FFFFUL), (0x28, 0x00CFF3000000FFFFUL),
                (0x30, 0x00AFFB000000FFFFUL), (0x50, 0x0040F30000003C00UL),
                // A busy 64-bit TSS, as Windows' own GDT has it while Windows runs.
                (0x40, 0x67UL | (tss & 0xFFFFFF) << 16 | 0x8BUL << 40 | (tss >> 24 & 0xFF) << 56), (0x48, tss >> 32),
            })
            PutVirtual(gdt + (ulong)selector, descriptor);
        // As Windows has it where it uses PCIDs: the bit that keeps the CPU from flushing.
        PutVirtual(Kpcr(i) + KpcrKernelCr3, process.Kernel | 1UL << 63);
        var stack = Stacks + (ulong)i * 0x1000 + 0xF00;
        PutVirtual(tss + 4, stack);
        var ring0 = mode != CpuMode.User;
        return new CpuStart
        {
            Index = i, Mode = mode, Cr0 = 0x80050031, Cr3 = mode == CpuMode.Kernel ? process.Kernel : process.User, Cr4 = 0x1506F8 | 1 << 17, Cr8 = 0,
            Efer = 0xD01, GdtBase = gdt, GdtLimit = 0x57, IdtBase = gdt + 0x1000, IdtLimit = 0xFFF, TrSelector = 0x40,
            GsBase = mode == CpuMode.Kernel ? Kpcr(i) : 0x7FF7C0000000 + (ulong)i * 0x1000, KernelGsBase = mode == CpuMode.Kernel ? 0x7FF7C0000000 + (ulong)i * 0x1000 : Kpcr(i),
            Star = 0x0023001000000000, LStar = SystemCallEntry, CStar = SystemCallEntry + 0x20, SfMask = 0x4700,
            Rip = mode switch { CpuMode.Kernel => code.KernelModeStart, CpuMode.User => code.UserModeStart, _ => code.EntryModeStart },
            Rsp = mode == CpuMode.Kernel ? stack : 0x2FF000 - (ulong)i * 0x10, Rflags = ring0 ? 0x46u : 0x246u,
            Cs = (ushort)(ring0 ? 0x10 : 0x33), Ss = (ushort)(ring0 ? 0x18 : 0x2B), Ds = 0x2B, Es = 0x2B, Fs = 0x53, Gs = 0x2B,
            R12 = 0xC12_0000 + (ulong)i, R13 = 0xC13_0000 + (ulong)i, R14 = 0xC14_0000 + (ulong)i, R15 = 0xFFFFC15_00000000 + (ulong)i, MxCsr = 0x1F80,
            Xmm6To9 = [.. Enumerable.Range(0, 64).Select(b => (byte)(b + i))], KernelStack = stack, KernelCr3 = process.Kernel,
        };
    }

    /// <summary>An empty list; command 0 and 1 insert, 2 removes the first again and writes two qwords, 3 has a kind that does not exist.</summary>
    private void WriteCommands()
    {
        PutVirtual(ListHead, ListHead);
        PutVirtual(ListHead + 8, ListHead);
        PutVirtual(Commands, CommandTable.Magic | 4UL << 32);
        var writes = ListHead + 0x800;
        ulong[][] commands =
        [
            [CommandTable.InsertAtTail, ListHead, ListHead + EntrySpacing, 0], [CommandTable.InsertAtTail, ListHead, ListHead + 2 * EntrySpacing, 0],
            [CommandTable.Remove | 2UL << 32, ListHead, ListHead + EntrySpacing, writes], [7, 0, 0, 0],
        ];
        for (var c = 0; c < commands.Length; c++)
        {
            for (var word = 0; word < 4; word++)
                PutVirtual(Commands + CommandTable.HeaderSize + (ulong)(c * CommandTable.EntrySize + word * 8), commands[c][word]);
        }
        foreach (var (offset, value) in new[] { (0u, ListHead + 0x900), (8u, 0x1122334455667788UL), (16u, ListHead + 0x908), (24u, 0x99AABBCCDDEEFF00UL) })
            PutVirtual(writes + offset, value);
    }

    private ulong NewPage(bool high)
    {
        var address = high ? _nextHigh : _nextLow;
        if (high)
            _nextHigh += 0x1000;
        else
            _nextLow += 0x1000;
        _pages.Add(address, new byte[0x1000]);
        return address;
    }

    private void Map(ulong top, ulong va, ulong flags)
    {
        var physical = NewPage(_high && va < 1UL << 47);
        _physical[va & ~0xFFFUL] = physical;
        MapTo(top, va, physical, flags);
    }

    private void MapTo(ulong top, ulong va, ulong physical, ulong flags) => Put(Table(top, va, 1, (flags & 4) != 0) + (va >> 12 & 511) * 8, physical | flags);

    /// <summary>The table of a level (1 = page table) on the way to an address, made where missing; level 3 makes the entry in the top-level table.</summary>
    private ulong Table(ulong top, ulong va, int level, bool user)
    {
        var table = top;
        for (var l = 3; l >= level; l--)
        {
            var slot = table + (va >> (12 + 9 * l) & 511) * 8;
            if (Get(slot) == 0)
                Put(slot, NewPage(high: false) | 0x23 | (user ? 4u : 0u));
            table = Get(slot) & 0xFFFFFFFFFF000;
        }
        return table;
    }

    private void Write(ulong va, byte[] bytes) => bytes.CopyTo(_pages[_physical[va & ~0xFFFUL]], (int)(va & 0xFFF));
    private void PutVirtual(ulong va, ulong value) => Put(_physical[va & ~0xFFFUL] + (va & 0xFFF), value);
    private void Put(ulong physical, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(_pages[physical & ~0xFFFUL].AsSpan((int)(physical & 0xFFF)), value);
    private ulong Get(ulong physical) => BinaryPrimitives.ReadUInt64LittleEndian(_pages[physical & ~0xFFFUL].AsSpan((int)(physical & 0xFFF)));

    private List<MemorySegment> Segments()
    {
        var segments = new List<MemorySegment>();
        var run = new List<byte>();
        var start = 0UL;
        foreach (var (address, page) in _pages)
        {
            if (run.Count != 0 && start + (ulong)run.Count != address)
            {
                segments.Add(new MemorySegment(start, run.ToArray()));
                run.Clear();
            }
            if (run.Count == 0)
                start = address;
            run.AddRange(page);
        }
        segments.Add(new MemorySegment(start, run.ToArray()));
        return segments;
    }
}
