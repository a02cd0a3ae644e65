using System.Buffers.Binary;
using System.Globalization;
using Forengate.Lab.Machine;

namespace Forengate.Lab.Tests;

public sealed class MachineBootTests
{
    [Theory]
    [InlineData(CpuMode.Kernel, false, false, "pc")]
    [InlineData(CpuMode.Kernel, true, true, "q35")]
    [InlineData(CpuMode.User, false, false, "pc")]
    [InlineData(CpuMode.User, true, true, "pc")]
    [InlineData(CpuMode.Entry, false, true, "pc")]
    [InlineData(CpuMode.Entry, true, false, "q35")]
    public void One_cpu_is_where_the_plan_puts_it_and_serves_its_line(CpuMode mode, bool kvaShadow, bool high, string machine)
    {
        var plan = MachineHandMadePlan.Make([mode], kvaShadow, high);
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(plan, directory.Path, new MachineOptions { Machine = machine });
        CheckRegisters(plan, twin);
        CheckCommands(plan, twin);
        CheckCounterRises(plan, twin);
        CheckRegisters(plan, twin);
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public void Eight_cpus_in_all_modes(bool kvaShadow, bool singleThread)
    {
        CpuMode[] modes = [CpuMode.User, CpuMode.Kernel, CpuMode.Entry, CpuMode.User, CpuMode.Kernel, CpuMode.Entry, CpuMode.User, CpuMode.Kernel];
        var plan = MachineHandMadePlan.Make(modes, kvaShadow, high: true);
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(plan, directory.Path, new MachineOptions { SingleThread = singleThread });
        CheckRegisters(plan, twin);
        CheckCommands(plan, twin);
        CheckNotes(plan, twin, directory.Path);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Sixty_four_cpus(bool singleThread)
    {
        var plan = MachineHandMadePlan.Make([.. Enumerable.Range(0, 64).Select(i => (CpuMode)(i % 3))], kvaShadow: true);
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(plan, directory.Path, new MachineOptions { SingleThread = singleThread });
        CheckRegisters(plan, twin);
        CheckNotes(plan, twin, directory.Path);
        twin.Ping();
    }

    private static void CheckRegisters(BootPlan plan, TwinMachine twin)
    {
        using var monitor = twin.OpenMonitor();
        var cpus = new Dictionary<int, CpuRegisters>();
        // CPU 0 leaves its mode for a moment now and then to serve the line.
        for (var i = 0; i < 1000 && cpus.Count < plan.Cpus.Count; i++)
        {
            // Registers of a CPU that runs are printed while they change.
            monitor.Execute("cont");
            monitor.Execute("stop");
            foreach (var cpu in CpuRegisters.ParseAll(monitor.Hmp("info registers -a")))
            {
                if (cpu["CPL"] == (plan.Cpus[cpu.Index].Mode == CpuMode.User ? 3u : 0u) && cpu["GS"] == plan.Cpus[cpu.Index].GsBase)
                    cpus[cpu.Index] = cpu;
            }
        }
        monitor.Execute("cont");
        Assert.Equal(plan.Cpus.Count, cpus.Count);
        foreach (var start in plan.Cpus)
        {
            var cpu = cpus[start.Index];
            Assert.Equal(
                (start.Cr0, start.Cr3, start.Cr4 & ~(1UL << 17), start.Efer), (cpu["CR0"], cpu["CR3"], cpu["CR4"], cpu["EFER"]));
            Assert.Equal((start.R12, start.R13, start.R14, start.R15, start.Rsp), (cpu["R12"], cpu["R13"], cpu["R14"], cpu["R15"], cpu["RSP"]));
            Assert.Equal((start.Cs, start.Ss, start.Ds, start.Es), (cpu.Selectors["CS"], cpu.Selectors["SS"], cpu.Selectors["DS"], cpu.Selectors["ES"]));
            Assert.Equal((start.Fs, start.Gs, start.TrSelector), (cpu.Selectors["FS"], cpu.Selectors["GS"], cpu.Selectors["TR"]));
            Assert.Equal((start.GdtBase, start.IdtBase, start.GdtBase + 0x800, start.FsBase), (cpu["GDT"], cpu["IDT"], cpu["TR"], cpu["FS"]));
            Assert.Equal(start.MxCsr, cpu["MXCSR"]);
            // Spinning sets and clears the arithmetic flags; interrupts stay as they were told.
            Assert.Equal(start.Rflags & 0x200, cpu["RFL"] & 0x200);
        }
    }

    private static void CheckCommands(BootPlan plan, TwinMachine twin)
    {
        twin.Ping();
        const ulong head = MachineHandMadePlan.ListHead, first = head + MachineHandMadePlan.EntrySpacing, second = first + MachineHandMadePlan.EntrySpacing;
        twin.Command(0);
        twin.Command(1);
        Assert.Equal([first, second, second, head, head, first], Links(plan, twin, head, first, second));
        Assert.Contains("refused", Assert.Throws<MachineException>(() => twin.Command(1)).Message, StringComparison.Ordinal);
        Assert.Contains("refused", Assert.Throws<MachineException>(() => twin.Command(3)).Message, StringComparison.Ordinal);
        Assert.Contains("refused", Assert.Throws<MachineException>(() => twin.Command(4)).Message, StringComparison.Ordinal);
        twin.Command(2);
        Assert.Equal([second, second, head, head], Links(plan, twin, head, second));
        Assert.Equal([0x1122334455667788UL, 0x99AABBCCDDEEFF00UL], Links(plan, twin, head + 0x900));
    }

    private static IEnumerable<ulong> Links(BootPlan plan, TwinMachine twin, params ulong[] entries) =>
        entries.SelectMany(va => new[] { Read(plan, twin, va), Read(plan, twin, va + 8) });

    /// <summary>Reads guest memory through the plan's page tables and QEMU's monitor.</summary>
    private static ulong Read(BootPlan plan, TwinMachine twin, ulong va)
    {
        var table = plan.Cpus[0].KernelCr3;
        for (var level = 3; level >= 0; level--)
            table = Entry(plan, (table & 0xFFFFFFFFFF000) + (va >> (12 + 9 * level) & 511) * 8);
        var text = twin.Hmp($"xp /1gx 0x{(table & 0xFFFFFFFFFF000) + (va & 0xFFF):x}");
        return ulong.Parse(text.Trim().Split("0x")[1], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
    }

    private static ulong Entry(BootPlan plan, ulong physical)
    {
        var segment = plan.Segments.Single(s => physical >= s.Address && physical < s.Address + (ulong)s.Bytes.Length);
        return BinaryPrimitives.ReadUInt64LittleEndian(segment.Bytes.Span[(int)(physical - segment.Address)..]);
    }

    private static void CheckCounterRises(BootPlan plan, TwinMachine twin)
    {
        var before = Read(plan, twin, MachineHandMadePlan.CounterPage);
        // Two answers may come in one visit; each visit counts.
        for (var i = 0; i < 10000 && Read(plan, twin, MachineHandMadePlan.CounterPage) == before; i++)
            twin.Ping();
        twin.Qmp("stop");
        var after = Read(plan, twin, MachineHandMadePlan.CounterPage);
        Assert.True(after > before, $"{after} after {before}");
        var own = Read(plan, twin, MachineHandMadePlan.CounterPage + 8);
        Assert.InRange(own, after, after + 1);
        Assert.Equal(after, Read(plan, twin, MachineHandMadePlan.CounterPage + GuestCode.StampOffset + after % GuestCode.StampCount * 8));
        twin.Qmp("cont");
    }

    /// <summary>The registers that only QEMU's ELF notes show.</summary>
    private static void CheckNotes(BootPlan plan, TwinMachine twin, string directory)
    {
        var path = Path.Combine(directory, "core");
        twin.Qmp($$$"""{"execute":"dump-guest-memory","arguments":{"paging":false,"protocol":"file:{{{path}}}","begin":0,"length":4096}}""");
        var core = File.ReadAllBytes(path);
        var notes = new List<ReadOnlyMemory<byte>>();
        var at = (int)BinaryPrimitives.ReadInt64LittleEndian(core.AsSpan((int)BinaryPrimitives.ReadInt64LittleEndian(core.AsSpan(0x20)) + 8));
        while (notes.Count < plan.Cpus.Count)
        {
            var nameSize = BinaryPrimitives.ReadInt32LittleEndian(core.AsSpan(at));
            var size = BinaryPrimitives.ReadInt32LittleEndian(core.AsSpan(at + 4));
            if (core.AsSpan(at + 12, 4).SequenceEqual("QEMU"u8))
                notes.Add(core.AsMemory(at + 12 + (nameSize + 3 & ~3), size));
            at += 12 + (nameSize + 3 & ~3) + (size + 3 & ~3);
        }
        foreach (var cpu in plan.Cpus)
        {
            // QEMU's own note, version 1: kernel_gs_base is its last field, cr3 three before it.
            var note = notes[cpu.Index].Span;
            Assert.Equal(440, note.Length);
            var swapped = cpu.Index == 0 && cpu.Mode != CpuMode.Kernel && BinaryPrimitives.ReadUInt64LittleEndian(note[432..]) == cpu.GsBase;
            if (!swapped)
                Assert.Equal(cpu.KernelGsBase, BinaryPrimitives.ReadUInt64LittleEndian(note[432..]));
        }
    }
}
