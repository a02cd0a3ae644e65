using System.Buffers.Binary;
using System.Globalization;
using Forengate.Lab.Image;
using Forengate.Lab.Machine;
using Forengate.Lab.Tables;
using Forengate.Lab.Truth;
using Forengate.Testing;

namespace Forengate.Lab.Tests.Image;

public sealed class ShuffledTwinTests
{
    private static readonly string[] _private = ["_EPROCESS", "_ETHREAD", "_KPROCESS", "_KTHREAD", "_KPRCB", "_HANDLE_TABLE", "_OBJECT_TYPE", "_TOKEN"];

    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void Fields_move_within_their_structure_and_never_onto_another(string build)
    {
        for (var seed = 1UL; seed <= 8; seed++)
            CheckMoves(KernelCatalog.Load(build), seed, _private);
    }

    [Fact]
    public void The_whole_types_of_a_kernel_move_too()
    {
        RealData.PathOf("kernels/isf.tar.zst");
        CheckMoves(KernelCatalog.Load("10.0.19041.388"), 5, _private);
    }

    [Fact]
    public void A_pair_of_structures_of_sixteen_bytes_alignment_changes_places_with_some_seed()
    {
        var offsets = Enumerable.Range(1, 16).Select(seed => LayoutShuffle.Apply(KernelCatalog.Load("19041"), (ulong)seed).OffsetOf("_KPROCESSOR_STATE", "ContextFrame")).ToArray();
        Assert.Contains(0, offsets);
        Assert.Contains(0xF0, offsets);
        Assert.All(offsets, o => Assert.Equal(0, o % 16));
    }

    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void A_shuffled_twin_is_whole_and_its_truth_says_where_things_lie(string build)
    {
        var options = Twins.Small(build) with { CpuCount = 3, CpuModes = CpuModes.Mixed };
        var (_, plain) = Twins.Make(options);
        var (image, truth) = Twins.Make(options with { Shuffle = 11 });
        var walker = new Walker(image.Plan);
        var cr3 = truth.Paging.SystemDtb.Value;
        Assert.NotEqual(plain.Build.PdbGuid, truth.Build.PdbGuid);
        Assert.NotEqual(plain.Build.Timestamp, truth.Build.Timestamp);
        Assert.Equal(plain.Build.Version, truth.Build.Version);
        Assert.True(plain.Symbols.Count(s => truth.Symbols[s.Key] != s.Value) > plain.Symbols.Count / 2);
        Assert.All(truth.Globals, g => Assert.Equal(truth.Symbols[g.Name], g.Rva));

        var links = Offset(truth, "_EPROCESS", "ActiveProcessLinks");
        var listed = truth.Processes.Where(p => p.Listed).ToArray();
        Assert.Equal(listed.Select(p => p.Eprocess.Value), walker.List(cr3, truth.Global("PsActiveProcessHead").Va.Value).Select(e => e - links));
        foreach (var process in listed)
        {
            Assert.Equal(process.Pid, walker.U64(cr3, process.Eprocess.Value + Offset(truth, "_EPROCESS", "UniqueProcessId")));
            Assert.Equal(process.Dtb.Value, walker.U64(cr3, process.Eprocess.Value + Offset(truth, "_EPROCESS", "Pcb") + Offset(truth, "_KPROCESS", "DirectoryTableBase")));
            if (process.State == "exited")
                continue;
            var threads = walker.List(cr3, process.Eprocess.Value + Offset(truth, "_EPROCESS", "ThreadListHead"));
            Assert.Equal(process.Threads.Select(t => t.Ethread.Value), threads.Select(t => t - Offset(truth, "_ETHREAD", "ThreadListEntry")));
            Assert.All(process.Threads, t => Assert.Equal(process.Eprocess.Value, walker.U64(cr3, t.Ethread.Value + Offset(truth, "_KTHREAD", "Process"))));
        }
        foreach (var cpu in truth.Cpus)
            Assert.Equal(cpu.Context.Value, walker.U64(cr3, cpu.Prcb.Value + Offset(truth, "_KPRCB", "Context")));
    }

    [Theory]
    [MemberData(nameof(Twins.Families), MemberType = typeof(Twins))]
    public void The_debugger_block_tells_the_shuffled_layout(string build)
    {
        var (_, truth) = Twins.Make(Twins.Small(build) with { Shuffle = 3 });
        var block = Convert.FromHexString(truth.Kdbg.Decoded);
        int Word(int at) => BinaryPrimitives.ReadUInt16LittleEndian(block.AsSpan(at));
        // wdbgexts.h, KDDEBUGGER_DATA64: OffsetKThreadTeb, …KernelStack, …State, OffsetEprocessPeb, …ParentCID, OffsetPrcbCurrentThread, …Number, …Context, SizeEProcess, SizePrcb.
        Assert.Equal(Offset(truth, "_KTHREAD", "Teb"), (ulong)Word(0x29A));
        Assert.Equal(Offset(truth, "_KTHREAD", "KernelStack"), (ulong)Word(0x29C));
        Assert.Equal(Offset(truth, "_KTHREAD", "State"), (ulong)Word(0x2A2));
        Assert.Equal(Offset(truth, "_EPROCESS", "Peb"), (ulong)Word(0x2AA));
        Assert.Equal(Offset(truth, "_EPROCESS", "InheritedFromUniqueProcessId"), (ulong)Word(0x2AC));
        Assert.Equal(Offset(truth, "_KPRCB", "CurrentThread"), (ulong)Word(0x2B4));
        Assert.Equal(Offset(truth, "_KPRCB", "Number"), (ulong)Word(0x2BE));
        Assert.Equal(Offset(truth, "_KPRCB", "Context"), (ulong)Word(0x338));
        Assert.Equal(Offset(truth, "_KPRCB", "ProcessorState") + Offset(truth, "_KPROCESSOR_STATE", "ContextFrame"), (ulong)Word(0x2BC));
        Assert.Equal(truth.Layouts["_EPROCESS"].Size.Value, (ulong)Word(0x2A8));
        Assert.Equal(truth.Layouts["_KPRCB"].Size.Value, (ulong)Word(0x2B0));
        Assert.Equal(truth.Global("PsActiveProcessHead").Va.Value, BinaryPrimitives.ReadUInt64LittleEndian(block.AsSpan(0x50)));
    }

    [Theory]
    [InlineData("7601", 1UL)]
    [InlineData("17763", 2UL)]
    [InlineData("22000", 3UL)]
    public void A_shuffled_twin_runs_and_its_processes_end_with_all_fields_as_they_should_be(string build, ulong seed)
    {
        var (image, truth) = Twins.Make(Twins.Small(build) with { Shuffle = seed, CpuCount = 2, CpuModes = CpuModes.User });
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(image.Plan, directory.Path);
        using var monitor = twin.OpenMonitor();
        foreach (var exit in truth.Commands.Where(c => c.Action == "exit").TakeLast(2))
        {
            twin.Command(exit.Index);
            var process = truth.Processes.Single(p => p.Pid == exit.Pid);
            ulong Field(string path, int size) => Word(monitor, image.System.Translate(process.Eprocess.Value + Offset(truth, "_EPROCESS", path)), size);
            Assert.Equal((ulong)exit.ExitTime!.Value.ToFileTimeUtc(), Field("ExitTime", 8));
            Assert.Equal(0UL, Field("Peb", 8));
            Assert.Equal(0UL, Field("ObjectTable", 8));
            Assert.Equal(0UL, Field("ActiveThreads", 4));
            Assert.Equal(0UL, Field("ExitStatus", 4));
            Assert.Equal(process.Pid, Field("UniqueProcessId", 8));
            Assert.Equal(process.ParentPid, Field("InheritedFromUniqueProcessId", 8));
        }
    }

    [Theory]
    [InlineData("7601", 4UL)]
    [InlineData("19041", 5UL)]
    [InlineData("22000", 6UL)]
    public void Qemu_finds_each_cpus_context_by_the_shuffled_debugger_block(string build, ulong seed)
    {
        var (image, truth) = Twins.Make(Twins.Small(build) with { Shuffle = seed, CpuCount = 3, CpuModes = CpuModes.Mixed, Note = true });
        using var directory = new MachineDirectory();
        using var twin = TwinMachine.Start(image.Plan, directory.Path, new MachineOptions { VmCoreInfo = true });
        var path = Path.Combine(directory.Path, "qemu.dmp");
        twin.Qmp($$$"""{"execute":"dump-guest-memory","arguments":{"paging":false,"protocol":"file:{{{path}}}","format":"win-dmp"}}""");
        var dump = File.ReadAllBytes(path);
        foreach (var cpu in truth.Cpus)
        {
            // Pages lie behind 0x2000 bytes of header, run by run. CONTEXT has R12 at 0xD8, followed by R13 to R15 (winnt.h).
            var at = 0x2000UL;
            var page = cpu.ContextPa.Value >> 12;
            foreach (var run in truth.Memory.Runs)
            {
                if (page >= run.FirstPage.Value && page < run.FirstPage.Value + run.Pages)
                {
                    at += cpu.ContextPa.Value - (run.FirstPage.Value << 12);
                    break;
                }
                at += run.Pages << 12;
            }
            var context = dump.AsSpan((int)at);
            Assert.Equal(cpu.Registers.R12.Value, BinaryPrimitives.ReadUInt64LittleEndian(context[0xD8..]));
            Assert.Equal(cpu.Registers.R15.Value, BinaryPrimitives.ReadUInt64LittleEndian(context[0xF0..]));
        }
    }

    [Fact]
    public void A_hidden_build_keeps_its_layouts_and_loses_its_name()
    {
        var (_, plain) = Twins.Make(Twins.Small("19041"));
        var (image, truth) = Twins.Make(Twins.Small("19041") with { HideBuild = true });
        Assert.NotEqual(plain.Build.PdbGuid, truth.Build.PdbGuid);
        Assert.NotEqual(plain.Build.Timestamp, truth.Build.Timestamp);
        Assert.Equal(plain.Symbols, truth.Symbols);
        Assert.All(plain.Layouts, l => Assert.Equal(l.Value.Fields, truth.Layouts[l.Key].Fields));
        // In memory there is the new GUID only: RSDS, then its bytes.
        var walker = new Walker(image.Plan);
        var record = walker.Read(truth.Paging.SystemDtb.Value, truth.Kernel.Base.Value + 0x1100, 0x60);
        var at = record.AsSpan().IndexOf("RSDS"u8);
        Assert.Equal(truth.Build.PdbGuid, new Guid(record.AsSpan(at + 4, 16)).ToString("N").ToUpperInvariant());
    }

    private static void CheckMoves(KernelTables tables, ulong seed, string[] mustMove)
    {
        var shuffle = new LayoutShuffle(seed);
        var types = mustMove.Concat(["_KPROCESSOR_STATE", "_KUSER_SHARED_DATA", "_CONTEXT", "_KPCR", "_OBJECT_HEADER", "_MMPFN", "_KAFFINITY_EX", "_LIST_ENTRY"]);
        foreach (var type in types.Select(tables.Type))
        {
            var moved = shuffle.Move(type);
            Assert.Equal(type.Size, moved.Size);
            Assert.Equal(type.Fields.Keys.Order(), moved.Fields.Keys.Order());
            var fields = type.Fields.Values.Where(f => f.Size > 0).OrderBy(f => f.Offset).ToArray();
            var away = 0;
            foreach (var field in fields)
            {
                var to = moved.Fields[field.Name];
                Assert.Equal(field, to with { Offset = field.Offset });
                Assert.InRange(to.Offset, 0, type.Size - field.Size);
                if (FixedLayouts.Stays(type.Name, field.Name))
                    Assert.Equal(field.Offset, to.Offset);
                var number = field.Type is null ? field.Size / field.Count : 0;
                if (number is 2 or 4 or 8 && field.Offset % number == 0)
                    Assert.Equal(0, to.Offset % number);
                away += to.Offset != field.Offset ? 1 : 0;
            }
            for (var i = 0; i < fields.Length; i++)
            {
                for (var j = i + 1; j < fields.Length; j++)
                    CheckPair(type.Name, fields[i], fields[j], moved.Fields[fields[i].Name], moved.Fields[fields[j].Name]);
            }
            if (mustMove.Contains(type.Name))
                Assert.True(away * 2 > fields.Length, $"{type.Name}: {away} of {fields.Length} fields moved");
        }
    }

    /// <summary>What overlapped lies as it lay to one another; what did not does not.</summary>
    private static void CheckPair(string type, KernelField a, KernelField b, KernelField movedA, KernelField movedB)
    {
        if (b.Offset < a.Offset + a.Size)
            Assert.Equal(b.Offset - a.Offset, movedB.Offset - movedA.Offset);
        else
            Assert.True(movedA.Offset + a.Size <= movedB.Offset || movedB.Offset + b.Size <= movedA.Offset, $"{type}.{a.Name} and {b.Name} overlap");
    }

    private static ulong Offset(TruthDocument truth, string type, string field) => truth.Layouts[type].Fields[field].Offset.Value;

    private static ulong Word(QmpClient monitor, ulong pa, int size) =>
        ulong.Parse(monitor.Hmp($"xp /1{(size == 8 ? 'g' : 'w')}x 0x{pa:x}").Split("0x")[^1].Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
