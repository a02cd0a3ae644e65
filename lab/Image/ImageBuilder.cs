using Forengate.Lab.Machine;
using Forengate.Lab.Tables;

namespace Forengate.Lab.Image;

/// <summary>Lays out a whole guest, step by step in the order in which things need each other.</summary>
internal sealed class ImageBuilder
{
    private const int MostSegments = 48;
    /// <summary>Windows Server 2022 was the first with five levels (Lenovo Press LP1911, 2024).</summary>
    private const int FirstFiveLevelBuild = 20348;
    private const ulong LargePage = 0x200000;
    private readonly TwinOptions _options;
    private readonly KernelTables _tables;
    private readonly SeededRandom _random;
    private readonly GuestRam _ram;
    private readonly PhysicalAllocator _memory;
    private readonly PageTables _pageTables;
    private readonly KernelLayout _layout;
    private readonly AddressSpace _system;

    private ImageBuilder(TwinOptions options, KernelTables tables)
    {
        _options = options;
        _tables = tables;
        _random = new SeededRandom(options.Seed * 1_000_003 + (ulong)tables.Family);
        _ram = new GuestRam(options.MemorySize, options.EffectiveLowSize);
        _memory = new PhysicalAllocator(_ram, _random);
        _pageTables = new PageTables(_memory, options.Levels);
        _layout = new KernelLayout(tables.Family, _random, options.Levels);
        // Boot takes the system's PML4 from the first pages above 1 MiB; real ones are seen at 0x187000 (7) and 0x1a7000 to 0x1ad000 (later).
        var root = tables.Family < 9200 ? 0x187000UL : 0x1A7000 + _random.Next(7) * GuestRam.PageSize;
        _system = new AddressSpace(_memory, _pageTables, root);
        _ram.WriteU64(root + (ulong)_layout.SelfMap * 8, root | ProcessBuilder.SelfMapFlags(_layout));
    }

    /// <exception cref="ImageException">The options ask for what cannot be.</exception>
    public static TwinImage Build(TwinOptions options, KernelTables tables, Func<GuestCodeAddresses, GuestCodeImage> assemble)
    {
        options.Check();
        if (options.Levels == 5 && tables.Family < FirstFiveLevelBuild)
            throw new ImageException($"Windows {tables.Build.Version} has no five-level paging: builds from {FirstFiveLevelBuild} (Server 2022) on do");
        if (options.KvaShadow && !tables.HasField("_KPRCB", "KernelDirectoryTableBase"))
            throw new ImageException($"Windows {tables.Build.Version} was built before KVA shadow: use --kva off");
        if (options.Shuffle is { } seed)
            tables = LayoutShuffle.Apply(tables, seed);
        else if (options.HideBuild)
            tables = tables.Changed(BuildDisguise.Of(tables.Build, options.Seed));
        return new ImageBuilder(options, tables).Build(assemble);
    }

    private TwinImage Build(Func<GuestCodeAddresses, GuestCodeImage> assemble)
    {
        ReserveTopLevel();
        var kernel = new KernelImage(_tables, _system, _layout, _random);
        var pool = new KernelPool(_tables, _system, _layout.Pool, largePages: _options.MemorySize >= 256 * TwinOptions.MiB ? 2 : 1);
        var ptes = new SystemPtes(_system, _layout.SystemPtes);
        var (lab, labEx) = kernel.WriteVersion();
        var runs = PhysicalMemoryBlock.Runs(_ram);
        var shared = SharedUserData.Create(_tables, _system, _random, runs.Aggregate(0UL, (sum, r) => sum + r.Pages), _options.CpuCount, debugger: false);
        var pfn = MapPfnDatabase([.. runs, .. _options.Plug?.Runs ?? []]);
        _system.Map(KernelLayout.HalApic, 0xFEE00000, Pte.Device);
        var objects = new ObjectTypes(_tables, _system, kernel, pool, _random);
        var shadow = _options.KvaShadow ? new KvaShadow(_memory, _pageTables, _system) { CodeStart = kernel.Base + kernel.KvaCode.Rva, CodeEnd = kernel.Base + kernel.KvaCode.End } : null;
        var parts = new ProcessParts
        {
            Tables = _tables, System = _system, Layout = _layout, Kernel = kernel, Pool = pool, Ptes = ptes, Objects = objects, Random = _random,
            User = new UserSpace(_tables, shared, _random), Shadow = shadow,
        };
        var processorBuilder = new ProcessorBuilder(parts, _options);
        var processors = Enumerable.Range(0, _options.CpuCount).Select(processorBuilder.Reserve).ToArray();
        if (shadow is not null)
            ShareWithUserTables(shadow, kernel, processors);

        var processBuilder = new ProcessBuilder(parts);
        var plans = new ProcessPlanner(_options, _tables.Family, _random).Plan();
        var ids = plans.Select(p => p.Pid).Append(0U).ToHashSet();
        var processes = plans.Select(p => processBuilder.Build(p, () => NextTid(ids))).ToArray();
        var idle = processBuilder.BuildIdle(processes[0].Dtb, _options.CpuCount);
        var running = AssignCpus(parts, processes, idle);
        LinkedRing.Write(_system, kernel.AddressOf("PsActiveProcessHead"), processes.Where(p => p.Plan.IsListed).Select(p => p.ActiveProcessLinks).ToArray());
        LinkedRing.Write(_system, kernel.AddressOf("KiProcessListHead"),
            processes.Where(p => p.Plan is { HasExited: false, State: not ProcessState.Spare }).Select(p => p.Eprocess + (ulong)_tables.OffsetOf("_EPROCESS", "Pcb.ProcessListEntry")).ToArray());
        processBuilder.Link();
        var (cidTable, idEntries) = WriteIds(processBuilder.Handles, processes);
        var drivers = new DriverBuilder(_tables, _system, pool, kernel, _random).Build(_layout.DriverBase, _options.Drivers, _options.HiddenDrivers);
        var block = PhysicalMemoryBlock.Write(_tables, _system, pool, runs);
        SetGlobals(kernel, processes[0], idle, block, cidTable, pfn, runs);
        var busy = running.Select(r => r.Process.Plan.Pid).ToHashSet();
        var growth = MemoryGrowth.Prepare(_options, _tables, _system, pool, ptes, _layout, kernel, runs);
        var (commandTable, commands) = new CommandWriter(_tables, _system, pool, kernel, processBuilder.Handles, idEntries).Write(processes, busy, growth);
        var hot = HotArea.Reserve(_system, ptes, _options.HotPages);
        var addresses = CodeAddresses(kernel, pool.AllocatePages(GuestRam.PageSize), commandTable, hot, PanicPage(ptes));
        if (_options.PanicAtBoot is { } way)
            _system.WriteU64(addresses.CounterPage + CrashCode.DueOffset, (ulong)way | CrashCode.AfterAWhile);
        var code = assemble(addresses);
        PlaceCode(addresses, code, running);
        var cpus = new CpuStart[_options.CpuCount];
        for (var i = 0; i < cpus.Length; i++)
            cpus[i] = processorBuilder.Fill(processors[i], running[i].Process, running[i].Thread, idle.Threads[i], code);
        var worlds = new Dictionary<CpuMode, OutsideWorld>();
        for (var i = 0; i < cpus.Length; i++)
        {
            if (_options.OutsideOf(i) is { } place)
                cpus[i] = (worlds.TryGetValue(place, out var world) ? world : worlds[place] = OutsideWorld.Build(place, _tables, _system, _random)).Catch(cpus[i]);
        }
        // The IDT's halting loops must not lie over the guest's code: it is stored last.
        PlaceCode(addresses, code, running);
        var kdbg = Kdbg.Write(_tables, _system, kernel, _layout, _random, _options.KdbgEncoded);
        kernel.WriteHeaders();
        kernel.PageOut(_random);
        LowStub.Write(_ram, kernel.Base + kernel.EntryPoint, _system.Root);
        // Last of all that takes memory: without it nothing else lies elsewhere.
        var note = _options.Note
            ? CrashDumpNote.Write(new TwinParts(_tables, _system, kernel, pool, ptes, kdbg, shared, runs, pfn, _options.CpuCount), processes[0].Dtb)
            : null;
        Fill();
        var frames = PageFrames.Write(new PageFrameParts(_options, _tables, _system, _layout, kernel, pool, runs, processes.Where(p => p.Root != _system.Root).Select(p => p.Root), pfn));
        growth?.WriteFrames(_tables, _system, pfn);
        var plan = new BootPlan
        {
            MemorySize = _ram.Size, LowSize = _ram.LowSize, Cpus = cpus, Segments = _ram.Segments(MostSegments), Code = addresses, VmCoreInfo = note?.ForMachine,
        };
        return new TwinImage
        {
            Options = _options, Tables = _tables, Plan = plan, Ram = _ram, System = _system, Layout = _layout, Kernel = kernel, SystemDtb = processes[0].Dtb, BuildLab = lab, BuildLabEx = labEx, Kdbg = kdbg,
            Shared = shared, Runs = runs, Processors = processors, Running = running, Drivers = drivers, Idle = idle, Processes = processes, Commands = commands, Objects = objects, Pool = pool, PfnDatabase = pfn,
            Note = note, Frames = frames, Hot = hot, Growth = growth,
        };
    }

    /// <summary>Top-level entries of all kernel areas come first: each process's PML4 is a copy of them.</summary>
    private void ReserveTopLevel()
    {
        foreach (var area in new[] { _layout.KernelBase, _layout.SystemPtes, _layout.DriverBase, _layout.Pool, _layout.PfnDatabase, _layout.Session, KernelLayout.SharedUserData, KernelLayout.HalApic })
            _pageTables.Reserve(_system.Root, area);
    }

    private static void ShareWithUserTables(KvaShadow shadow, KernelImage kernel, ProcessorBlock[] processors)
    {
        shadow.Share(kernel.Base + kernel.KvaCode.Rva, kernel.KvaCode.Size);
        foreach (var processor in processors)
        {
            shadow.Share(processor.ShadowBlock, 0x5000);
            shadow.Share(processor.Prcb + kernel.PrcbKernelTable, GuestRam.PageSize);
        }
    }

    /// <summary>Room for the _MMPFN of each page, in large pages; <see cref="PageFrames"/> fills it when all else is there.</summary>
    private ulong MapPfnDatabase(IReadOnlyList<PhysicalRun> runs)
    {
        var size = (ulong)_tables.SizeOf("_MMPFN");
        var mapped = new HashSet<ulong>();
        foreach (var run in runs)
        {
            for (var at = _layout.PfnDatabase + run.FirstPage * size & ~(LargePage - 1); at < _layout.PfnDatabase + (run.FirstPage + run.Pages) * size; at += LargePage)
            {
                if (mapped.Add(at))
                    _pageTables.MapLarge(_system.Root, at, _memory.AllocateLarge(), Pte.KernelData);
            }
        }
        return _layout.PfnDatabase;
    }

    private uint NextTid(HashSet<uint> ids)
    {
        for (; ; )
        {
            var tid = (uint)_random.Next(24, 4000 + ids.Count * 4) * 4;
            if (ids.Add(tid))
                return tid;
        }
    }

    private (TwinProcess Process, TwinThread Thread)[] AssignCpus(ProcessParts parts, TwinProcess[] processes, TwinProcess idle)
    {
        var hosts = processes.Where(p => p.Plan.HostsCpu).ToArray();
        var assigned = new (TwinProcess, TwinThread)[_options.CpuCount];
        for (var cpu = 0; cpu < assigned.Length; cpu++)
        {
            var mode = _options.OutsideOf(cpu) is null ? _options.ModeOf(cpu) : CpuMode.Kernel;
            // A CPU in the kernel is idle, or every third of them in the middle of some process's call.
            if (mode == CpuMode.Kernel && (cpu % 3 != 1 || hosts.Length == 0))
            {
                assigned[cpu] = (idle, idle.Threads[cpu]);
                continue;
            }
            if (hosts.Length == 0)
                throw new ImageException("a CPU in user mode needs a process to run in: ask for more processes");
            var host = hosts[cpu % hosts.Length];
            var index = cpu / hosts.Length;
            if (index >= host.Threads.Count)
                throw new ImageException($"CPU {cpu} finds no free thread: ask for more processes");
            host.Threads[index] = ThreadBuilder.Run(parts, host.Threads[index], (uint)cpu);
            assigned[cpu] = (host, host.Threads[index]);
        }
        return assigned;
    }

    private static (ulong Table, IReadOnlyDictionary<uint, ulong> Entries) WriteIds(HandleTables handles, TwinProcess[] processes)
    {
        var objects = new Dictionary<uint, ulong>();
        var empty = new HashSet<uint>();
        foreach (var process in processes.Where(p => p.Plan.State != ProcessState.ExitedUnlisted))
        {
            foreach (var (id, address) in process.Threads.Select(t => (t.Tid, t.Ethread)).Prepend((process.Plan.Pid, process.Eprocess)))
            {
                objects[id] = address;
                if (process.Plan.State == ProcessState.Spare)
                    empty.Add(id);
            }
        }
        return handles.Ids(objects, empty);
    }

    private void SetGlobals(KernelImage kernel, TwinProcess system, TwinProcess idle, ulong block, ulong cidTable, ulong pfn, IReadOnlyList<PhysicalRun> runs)
    {
        kernel.SetU64("PsInitialSystemProcess", system.Eprocess);
        kernel.SetU64("PsIdleProcess", idle.Eprocess);
        kernel.SetU64("PspCidTable", cidTable);
        kernel.SetU64("MmPhysicalMemoryBlock", block);
        kernel.SetU64("MmPfnDatabase", pfn);
        kernel.SetU64("MmPteBase", _layout.PteBase, optional: true);
        kernel.SetU64("MmHighestPhysicalPage", runs[^1].FirstPage + runs[^1].Pages - 1, optional: true);
        kernel.SetU64("MmLowestPhysicalPage", runs[0].FirstPage, optional: true);
        kernel.SetU64("MmNumberOfPhysicalPages", runs.Aggregate(0UL, (sum, r) => sum + r.Pages), optional: true);
        kernel.SetU64("PsNtosImageBase", kernel.Base);
        kernel.SetU64("PsNtosImageEnd", kernel.Base + kernel.Size);
        kernel.SetU32("KeNumberProcessors", (uint)_options.CpuCount);
        kernel.SetU8("KeNumberProcessorsGroup0", (byte)_options.CpuCount, optional: true);
        kernel.SetU32("KeTimeIncrement", 156250);
        kernel.SetU32("KeMaximumIncrement", 156250);
        kernel.SetU8("KiKvaShadow", _options.KvaShadow ? (byte)1 : (byte)0);
        kernel.SetU32("KiKvaShadowMode", _options.KvaShadow ? 1U : 0, optional: true);
        kernel.SetU8("KdDebuggerNotPresent", 1);
        kernel.SetU8("KdDebuggerEnabled", 0);
        var userEnd = _tables.Family < 9200 ? 0x7FF_FFFF0000UL : 0x7FFF_FFFF0000UL;
        kernel.SetU64("MmUserProbeAddress", userEnd);
        kernel.SetU64("MmHighestUserAddress", userEnd - 1);
        kernel.SetU64("MmSystemRangeStart", _options.Levels == 5 ? 0xFF000000_00000000 : _tables.Family < 9200 ? 0xFFFF0800_00000000 : 0xFFFF8000_00000000);
        foreach (var list in new[] { "KeBugCheckCallbackListHead", "ExpSystemResourcesList", "IopErrorLogListHead", "MmLoadedUserImageList" })
            kernel.EmptyList(list, optional: true);
        if (_options.Bugcheck is not { } bugcheck)
            return;
        var at = kernel.AddressOf("KiBugCheckData");
        foreach (var value in new[] { bugcheck.Code, bugcheck.P1, bugcheck.P2, bugcheck.P3, bugcheck.P4 })
        {
            _system.WriteU64(at, value);
            at += 8;
        }
    }

    private ulong PanicPage(SystemPtes ptes)
    {
        if (!_options.Panic)
            return 0;
        var va = ptes.Reserve(1);
        _system.Map(va, CrashCode.PanicAddress, Pte.Device);
        return va;
    }

    private GuestCodeAddresses CodeAddresses(KernelImage kernel, ulong counter, ulong commands, HotArea? hot, ulong panic)
    {
        var entry = kernel.AddressOf(_options.KvaShadow ? "KiSystemCall64Shadow" : "KiSystemCall64");
        return new GuestCodeAddresses
        {
            KernelLoop = kernel.AddressOf("KiIdleLoop"), SystemCallEntry = entry, EntryBody = entry + 0x100, UserLoop = UserSpace.HostImage + 0x1000, CounterPage = counter, CommandTable = commands,
            KpcrScratch = KvaField("Prcb.UserRspShadow"), KpcrKernelCr3 = KvaField("Prcb.KernelDirectoryTableBase"), KvaShadow = _options.KvaShadow,
            HotArea = hot?.Va ?? 0, HotPages = _options.HotPages, PanicPage = panic, PanicsAtBoot = _options.PanicAtBoot is not null,
        };
    }

    /// <summary>A field of the KPCR that came with KVA shadow; the first builds of Windows 10 lack them, and keep the user's stack pointer where all do.</summary>
    private uint KvaField(string path) => (uint)_tables.OffsetOf("_KPCR", _tables.HasField("_KPCR", path) ? path : "UserRsp");

    private void PlaceCode(GuestCodeAddresses at, GuestCodeImage code, IEnumerable<(TwinProcess Process, TwinThread Thread)> running)
    {
        _system.Write(at.KernelLoop, code.KernelLoop);
        _system.Write(at.SystemCallEntry, code.SystemCallEntry);
        _system.Write(at.EntryBody, code.EntryBody);
        foreach (var process in running.Select(r => r.Process).Where(p => p.Plan.HostsCpu).Distinct())
            new AddressSpace(_memory, _pageTables, process.Root).Write(at.UserLoop, code.UserLoop);
    }

    /// <summary>Fills free RAM from the bottom of each free stretch until the share asked for has content.</summary>
    private void Fill()
    {
        if (_options.FillPercent == 0)
            return;
        var free = new List<ulong>();
        foreach (var run in PhysicalMemoryBlock.Runs(_ram).Where(r => r.FirstPage >= 0x100))
        {
            for (var page = run.FirstPage; page < run.FirstPage + run.Pages; page++)
            {
                if (_memory.IsFree(page * GuestRam.PageSize))
                    free.Add(page);
            }
        }
        var random = new SeededRandom(_options.Seed ^ 0xF111);
        foreach (var page in free.Take((int)((long)free.Count * _options.FillPercent / 100)))
            random.Fill(_ram.Writable(page * GuestRam.PageSize, GuestRam.PageSize));
    }
}
