using Forengate.Lab.Machine;

namespace Forengate.Lab.Tests;

public sealed class MachineOptionsTests
{
    [Theory]
    [InlineData("pc")]
    [InlineData("q35")]
    public void Ram_lies_where_the_plan_says_and_nothing_else_is_ram_above_1_mib(string machine)
    {
        var plan = MachineHandMadePlan.Make([CpuMode.Kernel], high: true);
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(plan, directory.Path, new MachineOptions { Machine = machine, Vga = true, NumaNodes = 2, VmCoreInfo = true, Monitors = 3 });
        var view = twin.Hmp("info mtree -f").Split("FlatView").Single(v => v.Contains("AS \"memory\"", StringComparison.Ordinal));
        var ram = view.Split('\n').Where(l => l.Contains(", ram)", StringComparison.Ordinal)).Select(l => l.Trim()).Where(l => string.CompareOrdinal(l, "0000000000100000") >= 0);
        Assert.Equal(
            [
                "0000000000100000-0000000007ffffff (prio 0, ram): ram-node0 @0000000000100000",
                "00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram",
                "0000000100000000-0000000107ffffff (prio 0, ram): ram-node1",
            ], ram);
        foreach (var socket in twin.QmpSockets)
        {
            using var monitor = new QmpClient(socket);
            Assert.True(monitor.Execute("query-status").GetProperty("running").GetBoolean());
        }
    }

    [Theory]
    [InlineData(RamBackend.Memfd)]
    [InlineData(RamBackend.File)]
    public void Shared_ram_boots_as_well(RamBackend backend)
    {
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(MachineHandMadePlan.Make([CpuMode.User], kvaShadow: true, high: true), directory.Path, new MachineOptions { Backend = backend });
        Assert.True(twin.Qmp("query-memdev")[0].GetProperty("share").GetBoolean());
        twin.Command(0);
        Assert.True(twin.Stop());
        Assert.False(File.Exists(Path.Combine(directory.Path, "pc.ram.img")));
    }

    [Fact]
    public void Ram_holds_the_plan_and_nothing_of_the_rom()
    {
        var whole = MachineHandMadePlan.MakeWhole([CpuMode.User, CpuMode.Kernel, CpuMode.Entry, CpuMode.User], kvaShadow: true, high: true);
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(whole.Plan, directory.Path, new MachineOptions { Backend = RamBackend.File, Vga = true, VmCoreInfo = true });
        twin.Command(0);
        twin.Qmp("stop");
        var expected = new byte[whole.Plan.MemorySize];
        foreach (var segment in whole.Plan.Segments)
            segment.Bytes.CopyTo(expected.AsMemory((int)(segment.Address < whole.Plan.LowSize ? segment.Address : segment.Address - (1UL << 32) + whole.Plan.LowSize)));
        var found = File.ReadAllBytes(Path.Combine(directory.Path, "pc.ram.img"));
        Assert.Equal(expected.Length, found.Length);
        var touched = 0;
        for (var offset = 0; offset < found.Length; offset += 0x1000)
        {
            if (found.AsSpan(offset, 0x1000).SequenceEqual(expected.AsSpan(offset, 0x1000)))
                continue;
            var address = (ulong)offset < whole.Plan.LowSize ? (ulong)offset : (ulong)offset - whole.Plan.LowSize + (1UL << 32);
            if (whole.WrittenFrames.Contains(address >> 12))
            {
                touched++;
                continue;
            }
            // A page table: the CPU marks entries accessed (bit 5) and dirty (bit 6).
            for (var i = 0; i < 0x1000; i++)
                Assert.True((found[offset + i] & ~0x60) == (expected[offset + i] & ~0x60), $"0x{address + (ulong)i:X}: {found[offset + i]:X2} for {expected[offset + i]:X2}");
        }
        Assert.True(touched >= 3);
    }

    [Fact]
    public void A_note_of_the_guest_reaches_qemu()
    {
        var plan = MachineHandMadePlan.Make([CpuMode.Kernel]);
        const ulong address = 0x3000000;
        var note = new byte[0x1000];
        BitConverter.GetBytes(11).CopyTo(note, 0);
        BitConverter.GetBytes(0x20).CopyTo(note, 4);
        "VMCOREINFO\0"u8.CopyTo(note.AsSpan(12));
        "the guest speaks through a note!"u8.CopyTo(note.AsSpan(24));
        plan = plan with { Segments = [.. plan.Segments, new MemorySegment(address, note)], VmCoreInfo = new VmCoreInfoNote(address, 24 + 0x20) };
        using var directory = new MachineDirectory();
        foreach (var (device, machine) in new[] { (true, "pc"), (true, "q35"), (false, "pc") })
        {
            using var twin = TwinMachine.Start(plan, directory.Path, new MachineOptions { VmCoreInfo = device, Machine = machine });
            var path = Path.Combine(directory.Path, "core");
            twin.Qmp($$$"""{"execute":"dump-guest-memory","arguments":{"paging":false,"protocol":"file:{{{path}}}","begin":0,"length":4096}}""");
            Assert.Equal(device, File.ReadAllBytes(path).AsSpan().IndexOf("the guest speaks through a note!"u8) >= 0);
        }
    }

    [Fact]
    public void A_machine_is_found_again_by_its_directory_and_ended_by_its_number()
    {
        using var directory = new MachineDirectory();
        Assert.Null(TwinMachine.Open(directory.Path));
        var saved = SavedPlan.Save(MachineHandMadePlan.Make([CpuMode.Kernel]), directory.Path);
        Assert.Equal(0, MachineVerbs.Run(["start", directory.Path, "--paused"]));
        var twin = TwinMachine.Open(directory.Path);
        Assert.NotNull(twin);
        Assert.True(twin.IsRunning);
        Assert.Equal("prelaunch", twin.Qmp("query-status").GetProperty("status").GetString());
        Assert.Equal(1, MachineVerbs.Run(["start", directory.Path]));
        twin.Qmp("cont");
        twin.WaitUntilReady(SavedPlan.Load(directory.Path).Plan, TimeSpan.FromSeconds(30));
        Assert.Equal(0, MachineVerbs.Run(["send", directory.Path, "ping", "0"]));
        Assert.Equal(1, MachineVerbs.Run(["send", directory.Path, "0"]));
        Assert.Equal(2, MachineVerbs.Run(["send", directory.Path, "nothing"]));
        Assert.Equal(0, MachineVerbs.Run(["stop", directory.Path]));
        Assert.False(twin.IsRunning);
        Assert.Equal(1, MachineVerbs.Run(["stop", directory.Path]));
        Assert.Equal(saved.Plan.Segments.Select(s => (s.Address, s.Bytes.Length)), SavedPlan.Load(directory.Path).Plan.Segments.Select(s => (s.Address, s.Bytes.Length)));
    }

    [Fact]
    public void A_number_that_another_process_got_is_not_ended()
    {
        var self = ProcessIdentity.Of(Environment.ProcessId);
        Assert.NotNull(self);
        Assert.True((self with { StartTime = self.StartTime - 1 }).End(TimeSpan.FromSeconds(1)));
    }

    [Fact]
    public void A_triple_fault_is_reported_with_its_registers()
    {
        var plan = MachineHandMadePlan.Make([CpuMode.Kernel]);
        plan = plan with { Cpus = [plan.Cpus[0] with { TrSelector = 0x38 }] };
        using var directory = new MachineDirectory();
        var error = Assert.Throws<MachineException>(() => TwinMachine.Start(plan, directory.Path));
        // General protection, error code = the selector.
        Assert.Contains("v=0d e=0038", error.Message, StringComparison.Ordinal);
        Assert.Contains("IP=0018:00000000ffff", error.Message, StringComparison.Ordinal);
        Assert.Null(TwinMachine.Open(directory.Path));
    }

    [Fact]
    public void Plans_that_cannot_boot_are_refused_with_the_reason()
    {
        var plan = MachineHandMadePlan.Make([CpuMode.User], high: true);
        var cpu = plan.Cpus[0];
        Refused("0 CPUs", plan with { Cpus = [] });
        Refused("lies outside RAM", plan with { MemorySize = plan.LowSize });
        Refused("overlaps", plan with { Segments = [.. plan.Segments, plan.Segments[0]] });
        Refused("whole pages", plan with { Segments = [.. plan.Segments, new MemorySegment(0x1000, new byte[1])] });
        Refused("lies outside RAM", plan with { Segments = [.. plan.Segments, new MemorySegment(0xA0000, new byte[0x1000])] });
        Refused("no segment holds the page table", plan with { Cpus = [cpu with { Cr3 = 0x5000 }] });
        Refused("five-level", plan with { Cpus = [cpu, cpu with { Index = 1, Cr4 = cpu.Cr4 | 0x1000 }] });
        Refused("STAR says", plan with { Cpus = [cpu with { Cs = 0x23 }] });
        Refused("stands at place", plan with { Cpus = [cpu with { Index = 1 }] });
        Refused("a pc has", plan with { LowSize = 0xC0100000, MemorySize = 8UL << 30 });
    }

    private static void Refused(string reason, BootPlan plan)
    {
        using var directory = new MachineDirectory();
        Assert.Contains(reason, Assert.Throws<BootPlanException>(() => TwinMachine.Start(plan, directory.Path)).Message, StringComparison.Ordinal);
    }
}
